"""Changes of torch's settings by code that a cell loads or runs, which its baseline then runs under, too."""

from bench.machine.numeric_settings import Setting, numeric_settings
from bench.store.findings import SETTINGS_CHECK


class SettingsWatch:
    """Compares torch's settings before code is loaded, after that, and while it runs."""

    def __init__(self) -> None:
        self._last = numeric_settings()
        self._while_loading: list[str] = []

    def loaded(self) -> None:
        """Ends the time in which code and data are loaded."""
        self._while_loading = self.changed()

    def changed(self) -> list[str]:
        """The settings that differ since the last call of this method or since construction, as text."""
        before, self._last = self._last, numeric_settings()
        return _differences(before, self._last)

    def finding(self, while_running: list[str]) -> dict[str, str]:
        """What to tell the user, by the name of the check; empty if nothing changed.

        Args:
            while_running: what :meth:`changed` has returned since the code was loaded.
        """
        parts = {"while code or data was loaded": self._while_loading, "while the cell ran": while_running}
        texts = [f"{when}: {', '.join(changes)}" for when, changes in parts.items() if changes]
        return {SETTINGS_CHECK: f"changed {'; '.join(texts)}"} if texts else {}

    @staticmethod
    def disturbance(while_running: list[str]) -> str | None:
        """Why steps that ran meanwhile cannot be compared with others, or None."""
        return f"torch's settings changed: {', '.join(while_running)}" if while_running else None


def _differences(before: dict[str, Setting], after: dict[str, Setting]) -> list[str]:
    return [f"{name} from {old} to {after[name]}" for name, old in before.items() if old != after[name]]
