"""The files of the mesh where a cluster keeps them: in the ConfigMaps of manifests.

Keys and our own certificates are not there, so nothing is said about them, nor about
what depends on the time; everything else is as for the files themselves.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml
from attrs import frozen

from sidecar.config.crl import CrlError, parse_crls
from sidecar.config.load import ConfigReading, config_of, policy_of
from sidecar.config.model import NameKind
from sidecar.config.notes import notes_on_config, notes_on_policy
from sidecar.config.place import Finding
from sidecar.config.problems import ConfigError, Problem
from sidecar.config.wording import quoted, shown, shown_path
from sidecar.config.yaml_document import parse_document
from sidecar.identity.bundle import BundleError, TrustBundle, parse_name_bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sidecar.config.load import PolicyReading
    from sidecar.config.model import Identity
    from sidecar.config.place import Place

CONFIG: Final = "sidecar.yaml"
MOUNTED_AT: Final = Path("/etc/sidecar")
"""Where a pod finds the keys of its ConfigMap, as files."""

# Every scalar as text: no dates that cannot be, no numbers in octal.
_LOADER: Final = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


@frozen
class ConfigMap:
    """A ConfigMap, of which the data is not judged yet."""

    name: str
    data: Mapping[str, str]

    def source(self, key: str) -> str:
        """What problems of one of its files are said to be of."""
        return f"{self.name}: {key}"


def find_config_maps(data: bytes, source: str) -> tuple[ConfigMap, ...]:
    """Find the ConfigMaps among manifests, in Lists too.

    Args:
        data: Untrusted bytes: YAML or JSON, one document or several.
        source: The file's name, for problems.

    Raises:
        ConfigError: The bytes are not YAML. No other exception escapes.
    """
    try:
        documents = list(yaml.load_all(data.decode("utf-8-sig"), _LOADER))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        what = f"not YAML: {str(error).partition(chr(10))[0]}"
        raise ConfigError(source, (Problem("", what, None, source),)) from None
    return tuple(_config_maps(documents))


def _config_maps(documents: list[Any]) -> Iterator[ConfigMap]:
    for document in documents:
        if not isinstance(document, dict):
            continue
        items = document.get("items")
        for each in items if isinstance(items, list) else [document]:
            if isinstance(each, dict) and each.get("kind") == "ConfigMap":
                yield _config_map(each)


def _config_map(manifest: dict[str, Any]) -> ConfigMap:
    metadata, data = manifest.get("metadata"), manifest.get("data")
    named = metadata if isinstance(metadata, dict) else {}
    namespace = named.get("namespace")
    name = f"{namespace}/{named.get('name')}" if namespace else str(named.get("name"))
    texts = data if isinstance(data, dict) else {}
    return ConfigMap(
        f"configmap {name}",
        {key: text for key, text in texts.items() if isinstance(text, str)},
    )


def check_config_map(config_map: ConfigMap) -> tuple[str, ...]:
    """Check `sidecar.yaml` of a ConfigMap that has one, and the policy that it names.

    Returns:
        What deserves a word though nothing is wrong.

    Raises:
        ConfigError: It carries the problems of both files.
    """
    return tuple(_notes(*read_config_map(config_map)))


def read_config_map(
    config_map: ConfigMap,
) -> tuple[ConfigReading, PolicyReading | None]:
    """Read `sidecar.yaml` of a ConfigMap that has one, and the policy that it names.

    Raises:
        ConfigError: As for `check_config_map`.
    """
    document = parse_document(
        config_map.data[CONFIG].encode(errors="surrogatepass"),
        config_map.source(CONFIG),
    )
    reading = config_of(document, MOUNTED_AT)
    findings = [*reading.findings, *_on_trust(config_map, reading.config.identity)]
    problems = tuple[Problem, ...]()
    policy = None
    try:
        policy = _policy(config_map, reading)
    except ConfigError as error:
        problems = error.problems
    except LookupError as error:
        findings.append(Finding(("policy",), str(error.args[0])))
    if findings or problems:
        located = document.problems(findings)
        raise ConfigError(config_map.name, (*located, *problems))
    return reading, policy


def _policy(config_map: ConfigMap, reading: ConfigReading) -> PolicyReading | None:
    path = reading.config.policy
    if path is None:
        return None
    key = path.name
    if path.parent != MOUNTED_AT or key not in config_map.data:
        raise LookupError(_no_key(config_map, path))
    accept = reading.config.identity.accept
    if "identity" in reading.unreadable:
        accept = frozenset(NameKind)  # what is unknown is not held against a rule
    data = config_map.data[key].encode(errors="surrogatepass")
    return policy_of(parse_document(data, config_map.source(key)), accept)


def _no_key(config_map: ConfigMap, path: Path) -> str:
    keys = quoted(sorted(config_map.data.keys() - {CONFIG})) or "none beside it"
    return f"expected a key of the same ConfigMap ({keys}), got {shown(str(path))}"


def _on_trust(config_map: ConfigMap, identity: Identity) -> Iterator[Finding]:
    """Judge the certificates of CAs that lie beside it; others are in volumes."""
    for place, path, parse in _trust(identity):
        if path is None or path.parent != MOUNTED_AT:
            continue
        text = config_map.data.get(path.name)
        if text is None:
            yield Finding(("identity", *place), _no_key(config_map, path))
            continue
        try:
            parse(text.encode(errors="surrogatepass"))
        except (BundleError, CrlError) as error:
            yield Finding(("identity", *place), f"{shown_path(path)}: {error}")


def _trust(
    identity: Identity,
) -> Iterator[tuple[Place, Path | None, Callable[[bytes], object]]]:
    for trust_domain, path in identity.trust_bundles.items():
        parse = partial(TrustBundle.from_file, trust_domain)
        yield ("trust_bundles", trust_domain), path, parse
    yield ("name_bundle",), identity.name_bundle, parse_name_bundle
    yield ("crl",), identity.crl, parse_crls


def _notes(reading: ConfigReading, policy: PolicyReading | None) -> Iterator[str]:
    config = reading.config
    for note in reading.document.problems(notes_on_config(config)):
        yield note.located
    if policy is not None:
        for note in policy.document.problems(notes_on_policy(config, policy.policy)):
            yield note.located
