//! A disk that can be filled: a file system of its own in a file, where this may be mounted.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Bytes of the disk. The file has holes, so only what is written takes room.
const BYTES: u64 = 24 << 30;
/// What is left free of a full disk: less than any file needs.
const LEFT: u64 = 8 << 10;

/// A file system below a folder. Unmounted when dropped.
pub(crate) struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Mounts one at `folder`, from a file beside it.
    ///
    /// # Errors
    /// Why that is not possible here; it takes the rights of root.
    pub(crate) fn mount(folder: &Path) -> Result<Self, String> {
        let image = folder.with_extension("image");
        std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        let file = File::create(&image).map_err(|error| error.to_string())?;
        file.set_len(BYTES).map_err(|error| error.to_string())?;
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image))?;
        let mut mount = Command::new("mount");
        run(mount.args(["-o", "loop,nosuid,nodev"]).arg(&image).arg(folder))?;
        Ok(Self { folder: folder.to_owned() })
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }

    /// Takes all room that is left.
    pub(crate) fn fill(&self) {
        let room = rustix::fs::statvfs(&self.folder).unwrap();
        let free = room.f_bavail * room.f_frsize;
        let ballast = File::create(self.ballast()).unwrap();
        let none = rustix::fs::FallocateFlags::empty();
        // Others take room meanwhile, so all at once may be too much.
        let mut wanted = free.saturating_sub(LEFT);
        let mut taken = 0;
        while wanted > LEFT {
            match rustix::fs::fallocate(&ballast, none, taken, wanted) {
                Ok(()) => taken += wanted,
                Err(_) => wanted /= 2,
            }
        }
    }

    /// Gives it back.
    pub(crate) fn make_room(&self) {
        std::fs::remove_file(self.ballast()).ok();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(why) = run(Command::new("umount").arg(&self.folder)) {
            // Goes when the last who uses it does.
            eprintln!("{}: {why}", self.folder.display());
            run(Command::new("umount").arg("-l").arg(&self.folder)).ok();
        }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
