"""Checks what is deployed. Started by check.sh, which fetches the tools."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import xml.dom.minidom
import xml.parsers.expat
from collections.abc import Callable, Iterator
from pathlib import Path

import kubernetes_validate
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
# The oldest Kubernetes that the manifests are for, and the newest that their schemas are known of.
KUBERNETES = ("1.30", "1.35")
WORKLOADS = ("Deployment", "StatefulSet", "Job")


class Wrong(Exception):
    """Something that has to be mended."""


class Missing(Exception):
    """A tool that this machine does not have."""


def run(*command: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None) -> str:
    """Runs a tool; what it says counts when it fails."""
    try:
        done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise Missing(f"{command[0]} is not there") from error
    if done.returncode != 0:
        raise Wrong((done.stdout + done.stderr).strip())
    return done.stdout


def expect(condition: object, words: str) -> None:
    if not condition:
        raise Wrong(words)


def documents(text: str) -> list[dict]:
    return [document for document in yaml.safe_load_all(text) if document]


def compose_file() -> dict:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def compose() -> str:
    """The compose file is one, names versions, and mounts what is there."""
    run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml")
    file = compose_file()
    for name, service in file["services"].items():
        tag = service["image"].rpartition(":")[2]
        expect(re.search(r"\d", tag), f"{name}: the image {service['image']} has no version")
        # One ends when it is done, the other's image has nothing to ask with.
        expect("healthcheck" in service or name in ("setup", "collector"), f"{name} has no health check")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            known = (ROOT / source).exists() if source.startswith(".") else source in file["volumes"]
            expect(known, f"{name}: there is no {source}")
        for secret in service.get("secrets", []):
            expect(secret in file["secrets"], f"{name}: there is no secret {secret}")
    return f"{len(file['services'])} services"


def rendered(overlay: Path) -> list[dict]:
    kustomize = os.environ["KUSTOMIZE"].split()
    if shutil.which(kustomize[0]) is None:
        raise Missing("neither kubectl nor kustomize nor go is there")
    return documents(run(*kustomize, overlay))


def overlays() -> list[Path]:
    return sorted((DEPLOY / "kubernetes/overlays").iterdir())


def pod_of(document: dict) -> dict:
    return document["spec"]["template"]["spec"]


def check_pod(name: str, kind: str, pod: dict) -> None:
    """What the restricted Pod Security Standard asks for, which the namespace enforces, and probes."""
    security = pod["securityContext"]
    expect(security["runAsNonRoot"] and security["runAsUser"] > 0, f"{name} runs as root")
    expect(security["seccompProfile"]["type"] == "RuntimeDefault", f"{name} has no seccomp profile")
    expect(pod["automountServiceAccountToken"] is False, f"{name} gets a token of the cluster")
    mounted = {volume["name"] for volume in pod.get("volumes", [])}
    for container in pod["containers"]:
        security = container["securityContext"]
        expect(security["allowPrivilegeEscalation"] is False, f"{name} may gain rights")
        expect(security["readOnlyRootFilesystem"], f"{name} may write its root")
        expect(security["capabilities"] == {"drop": ["ALL"]}, f"{name} has capabilities")
        uses = {mount["name"] for mount in container.get("volumeMounts", [])}
        expect(uses == mounted, f"{name}: mounts {uses} of {mounted}")
        if kind != "Job":
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                expect(probe in container, f"{name} has no {probe}")


def kubernetes() -> str:
    """Every manifest of every overlay fits the schemas, and pods have no rights."""
    count = 0
    for overlay in overlays():
        for document in rendered(overlay):
            name = f"{overlay.name}: {document['kind']} {document['metadata']['name']}"
            for version in KUBERNETES:
                try:
                    kubernetes_validate.validate(document, version, strict=True)
                except kubernetes_validate.ValidationError as error:
                    raise Wrong(f"{name}: {'.'.join(map(str, error.path))}: {error.message}") from error
            if document["kind"] in WORKLOADS:
                check_pod(name, document["kind"], pod_of(document))
            count += 1
    return f"{count} manifests of {len(overlays())} overlays, Kubernetes {' and '.join(KUBERNETES)}"


def alerts() -> list[dict]:
    groups = yaml.safe_load((PROMETHEUS / "rules/zhili.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def prometheus() -> str:
    """Prometheus reads its files, each alert fires when it must and only then, and has a runbook."""
    promtool = Path(os.environ["PROMTOOL"])
    if not promtool.exists():
        raise Missing("promtool is not there and could not be fetched")
    run(promtool, "check", "rules", PROMETHEUS / "rules/zhili.yml")
    run(promtool, "check", "config", PROMETHEUS / "prometheus.yml")
    # Debian's promtool knows nothing of Kubernetes; the rest of that file is read as it is.
    config = yaml.safe_load((PROMETHEUS / "kubernetes.yml").read_text())
    for job in config["scrape_configs"]:
        expect(job.pop("kubernetes_sd_configs"), "kubernetes.yml does not look for pods")
    config["rule_files"] = []
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        yaml.safe_dump(config, file)
        file.flush()
        run(promtool, "check", "config", "--syntax-only", file.name)
    tests = sorted((PROMETHEUS / "tests").glob("*.yml"))
    run(promtool, "test", "rules", *tests)
    tried = [
        (case["alertname"], bool(case.get("exp_alerts")))
        for test in tests
        for group in yaml.safe_load(test.read_text())["tests"]
        for case in group["alert_rule_test"]
    ]
    runbooks = re.findall(r"^## (\w+)$", (ROOT / "docs/runbooks.md").read_text(), re.MULTILINE)
    names = [alert["alert"] for alert in alerts()]
    for alert in alerts():
        name = alert["alert"]
        for fires in (True, False):
            expect((name, fires) in tried, f"no test where {name} {'fires' if fires else 'does not fire'}")
        expect(
            alert["annotations"]["runbook"] == f"docs/runbooks.md#{name.lower()}",
            f"{name} leads to another runbook than its own",
        )
        expect(alert["labels"]["severity"] in ("page", "ticket"), f"{name} has no known severity")
    expect(runbooks == names, f"runbooks and alerts differ: {set(runbooks) ^ set(names) or 'in their order'}")
    return f"{len(names)} alerts, {len(tried)} tests"


def contracts() -> str:
    """The contracts follow the rules of buf.yaml, and break nothing that was released."""
    run("buf", "lint", "proto")
    run("buf", "breaking", "proto", "--against", "proto/released.binpb")
    return "nothing breaks what was released"


def topic_names() -> set[str]:
    source = (ROOT / "crates/eventlog/src/topics.rs").read_text()
    return set(re.findall(r'pub const \w+: &str = "(zhili\.[^"]+)";', source))


def acls() -> Iterator[list[str]]:
    for line in (DEPLOY / "kafka/acls.tsv").read_text().splitlines():
        if line and not line.startswith("#"):
            yield line.split("\t")


def kafka() -> str:
    """The rules for Kafka name topics that there are, and somebody writes and reads each."""
    topics = topic_names()
    served = {"Read": set(), "Write": set()}
    rules = list(acls())
    for principal, kind, name, pattern, operations in rules:
        expect(kind in ("topic", "group", "transactional-id"), f"{principal}: {kind} is no resource")
        expect(pattern in ("literal", "prefixed"), f"{principal}: {pattern} is no pattern")
        if kind == "topic":
            named = {topic for topic in topics if topic == name or pattern == "prefixed" and topic.startswith(name)}
            expect(named, f"{principal}: there is no topic {name}")
            for operation in served:
                if operation in operations.split(","):
                    served[operation] |= named
    for operation, those in served.items():
        expect(those == topics, f"nobody may {operation} {topics - those}")
    return f"{len(rules)} rules for {len(topics)} topics"


def clickhouse() -> str:
    """ClickHouse's files are XML."""
    files = sorted((DEPLOY / "clickhouse").rglob("*.xml"))
    for file in files:
        try:
            xml.dom.minidom.parse(str(file))
        except xml.parsers.expat.ExpatError as error:
            raise Wrong(f"{file}: {error}") from error
    return f"{len(files)} files are XML; no ClickHouse read them"


def dockerfile() -> str:
    """The Dockerfile follows hadolint's rules."""
    # Debian's packages get newer under the same name; what is pinned is the release.
    run("hadolint", "--ignore", "DL3008", "deploy/docker/Dockerfile")
    return "hadolint has nothing to say"


def scripts() -> str:
    """Scripts can be read by their shells."""
    files = sorted(file for file in DEPLOY.rglob("*.sh") if "node_modules" not in file.parts)
    for file in files:
        run("sh", "-n", file)
    modules = sorted(DEPLOY.glob("*/*.mjs"))
    for file in modules:
        run("node", "--check", file)
    return f"{len(files) + len(modules)} scripts can be read"


def permitted(expression: str, allowed: set[str]) -> bool:
    """Whether one may use what is under an expression of SPDX with no other licence than these."""
    words = re.findall(r"[()]|[^\s()]+", expression.replace("/", " OR "))

    def term() -> bool:
        word = words.pop(0)
        if word == "(":
            inner = either()
            expect(words and words.pop(0) == ")", f"{expression}: a bracket is not closed")
            return inner
        if words[:1] == ["WITH"]:
            word = f"{word} WITH {words[1]}"
            del words[:2]
        return word in allowed

    def both() -> bool:
        result = term()
        while words[:1] == ["AND"]:
            words.pop(0)
            result = term() and result
        return result

    def either() -> bool:
        result = both()
        while words[:1] == ["OR"]:
            words.pop(0)
            result = both() or result
        return result

    result = either()
    expect(not words, f"{expression}: {' '.join(words)} says nothing here")
    return result


def supply() -> str:
    """What is built in is under licences and from places that deny.toml names."""
    rules = tomllib.loads((ROOT / "deny.toml").read_text())
    allowed = set(rules["licenses"]["allow"])
    registries = {f"registry+{it}" for it in rules["sources"]["allow-registry"]}
    banned = {it["crate"] for it in rules["bans"]["deny"]}
    # This check would be none if it took everything.
    for expression, may in [("GPL-3.0-only", False), ("MIT AND GPL-2.0-only", False), ("(MIT OR GPL-2.0-only) AND ISC", True)]:
        expect(permitted(expression, allowed) == may, f"{expression} is taken for what it is not")
    metadata = json.loads(run("cargo", "metadata", "--format-version", "1", "--locked", "--all-features"))
    for package in metadata["packages"]:
        name = f"{package['name']} {package['version']}"
        license = package["license"]
        expect(license and permitted(license, allowed), f"{name} is under {license or 'no licence'}")
        expect(package["name"] not in banned, f"{name} is not to be used: deny.toml")
        if package["source"] is not None:
            expect(package["source"] in registries, f"{name} is from {package['source']}")
        for dependency in package["dependencies"]:
            own = package["source"] is None and "path" not in dependency
            expect(not own or dependency["req"] != "*", f"{name} takes any version of {dependency['name']}")
    lock = json.loads((ROOT / "services/metrics/web/package-lock.json").read_text())
    embedded = {path: it for path, it in lock["packages"].items() if path and not it.get("dev")}
    for path, package in embedded.items():
        license = package.get("license", "")
        expect(license and permitted(license, allowed), f"{path} is under {license or 'no licence'}")
        expect("integrity" in package, f"{path} has no hash")
    return f"{len(metadata['packages'])} crates and {len(embedded)} packages of the console"


def sbom() -> str:
    """Bills of materials are valid, complete, and say the same when they are written again."""
    counts = []
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        for folder in (first, second):
            run(sys.executable, "deploy/sbom/sbom.py", folder)
        for file in sorted(Path(first).iterdir()):
            text = file.read_text()
            expect(text == (Path(second) / file.name).read_text(), f"{file.name} is another each time")
            faults = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
            expect(faults is None, f"{file.name}: {faults}")
            bom = json.loads(text)
            names = {it["bom-ref"] for it in bom["components"]} | {bom["metadata"]["component"]["bom-ref"]}
            for link in bom["dependencies"]:
                missing = {link["ref"], *link["dependsOn"]} - names
                expect(not missing, f"{file.name}: {missing} is nowhere")
            for part in bom["components"]:
                own = part["purl"].startswith("pkg:generic/")
                expect(own or part.get("hashes"), f"{file.name}: {part['name']} has no hash")
            counts.append(f"{len(bom['components'])} parts of {file.name.partition('.')[0]}")
    return ", ".join(counts)


def unsafe() -> str:
    """Nothing is unsafe but the module that speaks to libchdb."""
    rules = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["lints"]
    expect(rules["rust"]["unsafe_code"] == "deny", "unsafe_code is not denied")
    expect(rules["clippy"]["undocumented_unsafe_blocks"] == "deny", "an unsafe block needs no reason")
    crates = [file for file in ROOT.glob("*/**/Cargo.toml") if not {"target", "node_modules"} & set(file.parts)]
    for file in crates:
        lints = tomllib.loads(file.read_text()).get("lints", {})
        follows = lints.get("workspace") or lints.get("rust", {}).get("unsafe_code") == "deny"
        expect(follows, f"{file.relative_to(ROOT)} does not follow the lints of the workspace")
    sources = run("git", "grep", "-l", "-E", r"\((.*\W)?unsafe_code\W", "--", "*.rs").split()
    expect(sources == ["services/store/src/chdb.rs"], f"unsafe_code is let in by {sources}")
    return f"one module, {len(crates)} crates"


def secrets() -> str:
    """A type that can be printed holds no secret as a plain text, but at most where one is."""
    types = re.compile(
        r"#\[derive\(([^)]*)\)\](?:\s*(?:#\[[^\n]*\]|///[^\n]*))*\s*(?:pub(?:\([^)]*\))?\s+)?struct\s+(\w+)[^{;(]*\{(.*?)\n\s*\}",
        re.S,
    )
    fields = re.compile(
        r"((?:^\s*(?:///|#\[)[^\n]*\n)*)^\s*(?:pub(?:\([^)]*\))?\s+)?"
        r"(\w*(?:password|secret|token|passphrase|credential|routing_key)\w*):\s*([^\n]+?),?$",
        re.M,
    )

    def open_to_view(source: str) -> Iterator[tuple[str, str]]:
        for derived, name, body in types.findall(source):
            for words, field, kind in fields.findall(body) if "Debug" in derived else []:
                plain = re.search(r"\b(String|str|Bytes|u8)\b", kind)
                # An address of tokens is none of them.
                address = field.endswith(("_endpoint", "_url"))
                if plain and not address and not re.search(r"///\s*Where the", words):
                    yield name, field

    sample = "#[derive(Debug)]\nstruct A {{\n    /// {0}.\n    password: {1},\n}}\n"
    for words, kind, found in [("It", "Option<String>", 1), ("It", "Secret", 0), ("Where the password is", "String", 0)]:
        expect(len(list(open_to_view(sample.format(words, kind)))) == found, f"{kind} is taken for what it is not")
    files = run("git", "ls-files", "*.rs").split()
    for file in files:
        for name, field in open_to_view((ROOT / file).read_text()):
            raise Wrong(f"{file}: {name}.{field} would be printed; make it a Secret")
    return f"{len(files)} files"


def promises() -> str:
    """Every test that docs/security.md and docs/reliability.md name is one, and every check."""
    named = re.compile(r"#\[(?:tokio::)?test\b[^\]]*\]\s*(?:#\[[^\]]*\]\s*)*(?:async\s+)?fn\s+(\w+)")
    tests: set[str] = set()
    for file in run("git", "ls-files", "*.rs").split():
        tests.update(named.findall((ROOT / file).read_text()))
    text = "".join((ROOT / "docs" / f"{name}.md").read_text() for name in ("security", "reliability"))
    # A sentence as a name; settings and lints are shorter.
    promised = {name for name in re.findall(r"`(\w+)`", text) if name.count("_") >= 3}
    expect(len(promised) > 50, f"the documents name {len(promised)} tests")
    gone = sorted(promised - tests)
    expect(not gone, f"the documents name tests that are not there: {', '.join(gone)}")
    checks = set(re.findall(r"`make check` \(`(\w+)`\)", text))
    expect(checks and checks <= set(CHECKS), f"the documents name checks that are not there: {checks}")
    return f"{len(promised)} tests, {len(checks)} checks"


def literal(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def settings() -> Iterator[tuple[str, str, dict[str, str]]]:
    """The settings that each service gets, where, as variables."""
    for name, service in compose_file()["services"].items():
        given = service.get("environment", {})
        if any(key.startswith("ZHILI_") for key in given) and name != "grafana":
            # What .env may set is empty without it.
            given = {key: re.sub(r"\$\{\w+:-\}", "", literal(value)) for key, value in given.items()}
            yield "docker-compose.yml", name, given
    for overlay in overlays():
        manifests = rendered(overlay)
        maps = {it["metadata"]["name"]: it["data"] for it in manifests if it["kind"] == "ConfigMap"}
        for document in manifests:
            if document["kind"] in ("Deployment", "StatefulSet"):
                [container] = pod_of(document)["containers"]
                given: dict[str, str] = {}
                for source in container["envFrom"]:
                    if "configMapRef" in source:
                        given |= maps[source["configMapRef"]["name"]]
                given |= {it["name"]: it.get("value", "pod-0") for it in container["env"]}
                name = document["metadata"]["labels"]["app.kubernetes.io/component"]
                yield overlay.name, name, given


def accepted() -> str:
    """The services take the settings that they would be given."""
    built = Path(os.environ.get("ZHILI_BUILT", ROOT / "target/debug"))
    if not (built / "zhili-metrics").exists():
        raise Missing(f"no programs in {built}; `make test` builds them")
    count = 0
    with tempfile.TemporaryDirectory() as folder:
        for where, name, given in settings():
            for key, value in given.items():
                if value.startswith(("/secrets/", "/run/secrets/")):
                    file = Path(folder) / value.removeprefix("/")
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(bytes(32))
                    given[key] = str(file)
            try:
                run(built / f"zhili-{name}", "--check-config", cwd=Path(folder), env=given)
            except Wrong as wrong:
                raise Wrong(f"{where}: {name}: {wrong}") from wrong
            count += 1
    return f"{count} sets of settings"


CHECKS: dict[str, Callable[[], str]] = {
    "compose": compose,
    "kubernetes": kubernetes,
    "settings": accepted,
    "prometheus": prometheus,
    "contracts": contracts,
    "kafka": kafka,
    "clickhouse": clickhouse,
    "dockerfile": dockerfile,
    "scripts": scripts,
    "supply": supply,
    "sbom": sbom,
    "unsafe": unsafe,
    "secrets": secrets,
    "promises": promises,
}


def main() -> int:
    strict = os.environ.get("CI") == "true"
    failed = 0
    for name in sys.argv[1:] or CHECKS:
        check = CHECKS[name]
        try:
            outcome, words = "ok", check()
        except Wrong as wrong:
            outcome, words, failed = "failed", str(wrong), failed + 1
        except Missing as missing:
            outcome, words, failed = "not checked", str(missing), failed + strict
        print(f"{name:<11} {outcome}: {words}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
