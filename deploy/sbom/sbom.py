#!/usr/bin/env python3
"""Writes what the programs are made of as CycloneDX 1.6: zhili.cdx.json of the Rust programs with
libchdb, console.cdx.json of what the web console embeds.

usage: sbom.py FOLDER

Asks cargo and npm for what the lock files say; reaches for nothing. The same sources give the same
bytes: there is no time and no random number in them.
"""

import base64
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"
TARGET = "x86_64-unknown-linux-gnu"


def document(name: str, version: str, components: list[dict], depends: dict[str, list[str]]) -> dict:
    root = f"pkg:generic/{name}@{version}"
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": name,
                "version": version,
                "purl": root,
                "licenses": [{"expression": "Apache-2.0"}],
            }
        },
        "components": sorted(components, key=lambda it: it["bom-ref"]),
        "dependencies": [
            {"ref": ref, "dependsOn": sorted(set(on))}
            for ref, on in sorted(({root: depends.pop("", [])} | depends).items())
        ],
    }


def component(kind: str, name: str, version: str, **more: object) -> dict:
    purl = f"pkg:{kind}/{name.replace('@', '%40')}@{version}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl} | more


def rust() -> dict:
    """Every crate that is linked into a program or runs when one is built; none of tests alone."""
    said = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", TARGET],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout
    metadata = json.loads(said)
    packages = {it["id"]: it for it in metadata["packages"]}
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    checksums = {(it["name"], it["version"]): it.get("checksum") for it in lock["package"]}
    used = {
        node["id"]: [dep["pkg"] for dep in node["deps"] if any(kind["kind"] != "dev" for kind in dep["dep_kinds"])]
        for node in metadata["resolve"]["nodes"]
    }
    programs = [
        it["id"]
        for it in metadata["packages"]
        if it["source"] is None and any("bin" in target["kind"] for target in it["targets"])
    ]
    reached, waiting = set(), list(programs)
    while waiting:
        package = waiting.pop()
        if package not in reached:
            reached.add(package)
            waiting.extend(used[package])
    refs, components = {}, []
    for package in (packages[it] for it in sorted(reached)):
        name, version = package["name"], package["version"]
        # A name that every registry knows, and one of our own.
        one = component("cargo" if package["source"] else "generic", name, version)
        if package["license"]:
            # The form of before SPDX, which some crates still have.
            one["licenses"] = [{"expression": re.sub(r"\s*/\s*", " OR ", package["license"])}]
        if checksum := checksums[name, version]:
            one["hashes"] = [{"alg": "SHA-256", "content": checksum}]
        if package["repository"]:
            one["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
        refs[package["id"]] = one["bom-ref"]
        components.append(one)
    depends = {refs[it]: [refs[on] for on in used[it]] for it in reached}
    depends[""] = [refs[it] for it in programs]
    library = libchdb()
    components.append(library)
    store = next(refs[it] for it in programs if packages[it]["name"] == "zhili-store")
    depends[store].append(library["bom-ref"])
    return document("zhili", packages[programs[0]]["version"], components, depends)


def libchdb() -> dict:
    """The library that the store loads, which no lock file knows."""
    script = (ROOT / "deploy/libchdb/fetch.sh").read_text()
    said = dict(re.findall(r"^(package|library_sha256)=(\S+)$", script, re.M))
    name, _, version = said["package"].rpartition("@")
    hashes = [{"alg": "SHA-256", "content": said["library_sha256"]}]
    return component("npm", name, version, hashes=hashes, licenses=[{"expression": "Apache-2.0"}])


def console() -> dict:
    """What is in the script of the console; what builds and tests it is not."""
    lock = json.loads((ROOT / "services/metrics/web/package-lock.json").read_text())
    packages = {path: it for path, it in lock["packages"].items() if path and not it.get("dev")}
    components, depends = [], {"": []}
    for path, package in packages.items():
        name = path.rpartition("node_modules/")[2]
        algorithm, _, digest = package["integrity"].partition("-")
        content = base64.b64decode(digest).hex()
        one = component("npm", name, package["version"])
        one["hashes"] = [{"alg": algorithm.upper().replace("SHA", "SHA-"), "content": content}]
        if license := package.get("license"):
            one["licenses"] = [{"expression": license}]
        components.append(one)
        depends[one["bom-ref"]] = []
        depends[""].append(one["bom-ref"])
    return document("zhili-console", lock["version"], components, depends)


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: sbom.py FOLDER", file=sys.stderr)
        return 64
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, bom in {"zhili": rust(), "console": console()}.items():
        file = folder / f"{name}.cdx.json"
        file.write_text(json.dumps(bom, indent=2, ensure_ascii=False) + "\n")
        print(f"{file}: {len(bom['components'])} components")
    return 0


if __name__ == "__main__":
    sys.exit(main())
