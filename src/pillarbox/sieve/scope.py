"""What a script may use at one point: the capabilities it required and all that they bring.

Kept apart from the validator because it answers one kind of question: which command, test, tag,
comparator … a name means here, and if it means none, which capability would bring it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pillarbox.sieve.registry import (
    AddressPart,
    CommandSpec,
    Comparator,
    EnvelopePart,
    Extension,
    MatchType,
    Namespace,
    TagSpec,
    TestSpec,
    core,
    extensions,
)


class LanguageScope:
    """Tables of names, filled by `enable`."""

    def __init__(self, allowed: Collection[str]) -> None:
        self.allowed = allowed
        self.capabilities: list[str] = []
        self.commands: dict[str, CommandSpec] = {}
        self.tests: dict[str, TestSpec] = {}
        self.added: dict[str, list[TagSpec]] = {}
        self.comparators: dict[str, Comparator] = {}
        self.match_types: dict[str, MatchType] = {}
        self.address_parts: dict[str, AddressPart] = {}
        self.envelope_parts: dict[str, EnvelopePart] = {}
        self.namespaces: dict[str, Namespace] = {}
        self._tags: dict[tuple[type, str], dict[str, TagSpec]] = {}
        for extension in core():
            self._add(extension)

    def supports(self, capability: str) -> bool:
        """Whether a script may require it."""
        return capability in self.allowed and capability in extensions()

    def enable(self, capability: str) -> list[Extension]:
        """Make what a capability brings usable; the extensions that are new by that."""
        new: list[Extension] = []
        if capability not in self.capabilities:
            extension = extensions()[capability]
            self.capabilities.append(capability)
            self._add(extension)
            new.append(extension)
            for implied in extension.implies:
                if self.supports(implied):
                    new += self.enable(implied)
        return new

    def _add(self, extension: Extension) -> None:
        self._tags.clear()
        self.commands.update((spec.name, spec) for spec in extension.commands)
        self.tests.update((spec.name, spec) for spec in extension.tests)
        for added in extension.added:
            for name in added.to:
                self.added.setdefault(name, []).extend(added.tags)
        self.comparators.update((item.name, item) for item in extension.comparators)
        self.match_types.update((item.name, item) for item in extension.match_types)
        self.address_parts.update((item.name, item) for item in extension.address_parts)
        self.envelope_parts.update((item.name, item) for item in extension.envelope_parts)
        self.namespaces.update((item.name, item) for item in extension.namespaces)

    def tags_of(self, spec: CommandSpec | TestSpec) -> dict[str, TagSpec]:
        """The tags that a command or test takes here, but for match types and address parts."""
        key = (type(spec), spec.name)
        found = self._tags.get(key)
        if found is None:
            found = {tag.name: tag for tag in spec.tags}
            found.update((tag.name, tag) for tag in self.added.get(spec.name, ()))
            if isinstance(spec, TestSpec) and spec.fields:
                found.update((tag.name, tag) for tag in self.added.get("fields", ()))
            self._tags[key] = found
        return found

    def bringing(self, kind: str, name: str, of: str = "") -> str | None:
        """The capability that would bring a command, test or tag of that name."""
        for extension in self._not_enabled():
            if kind == "command":
                found = any(spec.name == name for spec in extension.commands)
            elif kind == "test":
                found = any(spec.name == name for spec in extension.tests)
            else:
                found = _brings_tag(extension, name, of)
            if found:
                return extension.capability
        return None

    def _not_enabled(self) -> Iterator[Extension]:
        for capability, extension in extensions().items():
            if capability not in self.capabilities and capability in self.allowed:
                yield extension


def _brings_tag(extension: Extension, name: str, of: str) -> bool:
    return (
        any(
            tag.name == name
            for added in extension.added
            if of in added.to or "fields" in added.to
            for tag in added.tags
        )
        or any(item.name == name for item in extension.match_types)
        or any(item.name == name for item in extension.address_parts)
    )
