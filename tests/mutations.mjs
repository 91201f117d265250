// Switches off one protection after the other, in a copy of the sources, and looks whether a test
// notices. `make mutations`, or with a word: those whose description holds it. Ends with an error when
// one goes unnoticed.
//
// Each is a piece of source that stands there once, what to put in its place, and the test that
// must fail then.

import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

const simulation = ['--package', 'zhili-eventlog', '--test', 'simulation'];
const sink = ['--package', 'zhili-warehouse', '--test', 'exactly_once'];
const pages = ['--package', 'zhili-escalation', '--lib', 'fault_at_any_boundary'];
const incidents = ['--package', 'zhili-incident'];

const mutations = [
  {
    protection: 'pending range: announced, and the commit confirmed, before the INSERT',
    file: 'crates/warehouse/src/sink/driver.rs',
    from: 'self.commit(batch.first(), Vec::new(), batch.range()).await',
    to: 'Ok(())',
    test: sink,
  },
  {
    protection: 'pending range: the new owner finishes exactly the announced range',
    file: 'crates/warehouse/src/sink/driver.rs',
    from: 'Ok(note.pending)',
    to: 'Ok(None)',
    test: sink,
  },
  {
    protection: 'table check: the new owner asks which rows landed',
    file: 'crates/warehouse/src/sink/writer.rs',
    from: 'rest = Arc::new(block.without(&landed));',
    to: 'rest = Arc::new(block.without(&HashSet::new()));',
    test: sink,
  },
  {
    protection: 'table check: no success is believed after a failed attempt',
    file: 'crates/warehouse/src/sink/writer.rs',
    from: 'if attempts == 1 && !taken_over {',
    to: 'if attempts > 0 {',
    test: sink,
  },
  {
    protection: 'claim: whoever has not claimed a page does not send it',
    file: 'crates/incident/src/partition.rs',
    from: `if claimant == owner
                        && page.stop`,
    to: `if (claimant == owner || true)
                        && page.stop`,
    test: incidents,
  },
  {
    protection: 'claim: no send starts after its lease',
    file: 'services/escalation/src/attempts.rs',
    from: 'now.saturating_duration_since(claimed) < LEASE',
    to: 'now.saturating_duration_since(claimed) < LEASE * 100',
    test: pages,
  },
  {
    protection: 'claim: an answer of a person stops what is claimed',
    file: 'crates/incident/src/partition.rs',
    from: '&& page.stop.is_none()',
    to: '',
    test: incidents,
  },
  {
    protection: 'transaction: outputs and progress in one commit',
    file: 'crates/eventlog/src/runner/partition.rs',
    from: 'let commit = Commit { outputs, offset: step.offset, metadata: String::new() };',
    to: `log.append(outputs).await;
                let outputs = Vec::new();
                let commit = Commit { outputs, offset: step.offset, metadata: String::new() };`,
    test: simulation,
  },
  {
    protection: 'transaction: a former owner commits nothing (the simulated log has a fence of its own)',
    file: 'crates/eventlog/src/testkit/simulated/log.rs',
    from: `if self.revoked.is_cancelled() {
            return Err(LogError::Revoked(self.partition.clone()));
        }
        match fault`,
    to: 'match fault',
    test: simulation,
  },
  {
    protection: 'snapshots: nothing of a state comes from a former owner',
    file: 'crates/eventlog/src/runner/partition.rs',
    from: 'outputs.extend(chunk);',
    to: 'if let Some(chunk) = chunk { log.append(vec![chunk]).await; }',
    test: simulation,
  },
  {
    protection: 'store: no part that the disk did not take is acknowledged',
    file: 'services/store/src/dedup_log.rs',
    from: 'found |= !is_whole(part)?;',
    to: 'found |= !is_whole(part)? && false;',
    test: ['--package', 'zhili-store', '--test', 'durability', 'disk_did_not_take'],
  },
  {
    protection: 'marker sequence: a lower one changes nothing',
    file: 'crates/eventlog/src/runner/partition.rs',
    from: 'if marker.sequence > self.fold.config_sequence(&marker.tenant) =>',
    to: 'if marker.sequence > 0 || self.fold.config_sequence(&marker.tenant) > 0 =>',
    test: simulation,
  },
];

const root = resolve(import.meta.dirname, '..');
const built = resolve(root, process.env.CARGO_TARGET_DIR ?? 'target');
const tree = join(built, 'mutations');
rmSync(tree, { recursive: true, force: true });
const files = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26 });
for (const file of files.split('\0').filter(Boolean)) {
  mkdirSync(dirname(join(tree, file)), { recursive: true });
  cpSync(join(root, file), join(tree, file));
}

/** Runs a test in the copy and says how it ended. */
function run(test) {
  const { stdout, stderr } = spawnSync('cargo', ['test', '--quiet', ...test], {
    cwd: tree,
    // As many as it takes to meet what is rare.
    env: { ZHILI_SEEDS: '3000', ...process.env, CARGO_TARGET_DIR: built },
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (stdout.includes('test result: FAILED')) return 'noticed';
  return stdout.includes('test result: ok') ? 'UNNOTICED' : `NOT TRIED: ${stderr.slice(-2000)}`;
}

const [word = ''] = process.argv.slice(2);
let bad = 0;
for (const { protection, file, from, to, test } of mutations.filter((it) => it.protection.includes(word))) {
  const path = join(tree, file);
  const source = readFileSync(path, 'utf8');
  let outcome;
  if (source.split(from).length === 2) {
    writeFileSync(path, source.replace(from, () => to));
    outcome = run(test);
    writeFileSync(path, source);
  } else {
    outcome = `NOT TRIED: ${file} does not hold the piece once`;
  }
  bad += outcome === 'noticed' ? 0 : 1;
  console.log(`${outcome}\t${protection}\tcargo test ${test.join(' ')}`);
}
process.exitCode = bad === 0 ? 0 : 1;
