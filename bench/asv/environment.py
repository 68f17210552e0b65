"""The environment that asv measures commits in."""

from asv.config import Config
from asv.console import log
from asv.environment import get_environments
from asv.util import ProcessError

from bench.errors import BenchError


def make_environment(configuration: Config) -> None:
    """Create asv's environment, unless it exists, and print what asv says of that.

    Raises:
        BenchError: pip could not install what commits need.
    """
    log.enable()
    try:
        for environment in get_environments(configuration, None):
            environment.create()
    except ProcessError as error:
        raise BenchError(
            f"asv could not create its environment in {configuration.env_dir}: {_reason(error)}. asv installs each "
            "commit into an environment of its own, with PyTorch, for which pip needs a package index such as PyPI, "
            "and about 6 GB of disk"
        ) from None
    finally:
        log.flush()


def _reason(error: ProcessError) -> str:
    """The last error that pip names, or else the command that failed."""
    named = [line for line in (error.stderr or "").splitlines() if line.startswith("ERROR: ")]
    return named[-1].removeprefix("ERROR: ").rstrip(".") if named else str(error)
