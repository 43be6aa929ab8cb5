"""The commands: ``python -m ltiaas_middleware demo | sandbox | doctor``.

Each command is one function that adds its parser and one that runs it; what a command needs is
imported when it runs, so that ``--help`` is there at once.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .._version import __version__

if TYPE_CHECKING:
    from ..service_keys import ServiceKeyStore

__all__ = ["main"]

_Commands = Any  # argparse keeps the type of what add_subparsers returns to itself.

_FAULTS = """\
a misbehaviour of the sandbox, as NAME or NAME:key=value,key=value; may be given several times.
Names: delay (seconds), rate_limit (retry_after), status (status), refuse, bad_api_key, reset,
truncated, not_json, wrong_type, no_user, drip (seconds), endless, gzip_bomb, redirect (location).
Each takes endpoint=/api/... (which calls) and times=N (how many of them)"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: its arguments; those of the process by default.

    Returns:
        The exit status: 0 well, 1 not, 130 interrupted while starting.

    Raises:
        SystemExit: 2 for unusable arguments, 0 for ``--help`` and ``--version``.
    """
    options, unknown = _parser().parse_known_args(argv)
    if unknown:
        # With the usage of the very command, which says what it does take.
        options.parser.error(f"this command does not take {' '.join(unknown)}")
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read the output has left. Python would complain once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ltiaas_middleware",
        description="LTI launches for Python web apps on LTIAAS.",
        epilog="examples:\n"
        "  python -m ltiaas_middleware demo\n"
        "  python -m ltiaas_middleware sandbox --tool http://127.0.0.1:5000/launch\n"
        "  LTIAAS_URL=... LTIAAS_API_KEY=... python -m ltiaas_middleware doctor",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"ltiaas-middleware {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (_add_demo, _add_sandbox, _add_doctor, _add_service_keys):
        add(commands)
    return parser


def _command(
    commands: _Commands,
    name: str,
    run: Callable[[argparse.Namespace], int],
    about: str,
    more: str = "",
) -> argparse.ArgumentParser:
    """A command's parser. ``about`` is one line; ``more`` says when to use it, with examples."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=about,
        description=f"{about[0].upper()}{about[1:]}.",
        epilog=more,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run, parser=parser)
    return parser


# -- demo -----------------------------------------------------------------------------------------


def _add_demo(commands: _Commands) -> None:
    parser = _command(
        commands,
        "demo",
        _demo,
        "run a local LTIAAS with an LMS, and a small tool to launch from it",
        "examples:\n"
        "  python -m ltiaas_middleware demo\n"
        "  python -m ltiaas_middleware demo --check\n"
        "  python -m ltiaas_middleware demo --check --fault refuse        (fails, and says why)",
    )
    parser.add_argument(
        "--port", type=_port, metavar="N", help="of the sandbox (8400, or a free one)"
    )
    parser.add_argument(
        "--tool-port", type=_port, metavar="N", help="of the demo tool (8401, or a free one)"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="launch the tool without a browser, say how each step went, and end",
    )
    parser.add_argument("--access-log", action="store_true", help="print the tool's requests")
    parser.add_argument("--fault", action="append", default=[], metavar="NAME", help=_FAULTS)


def _demo(options: argparse.Namespace) -> int:
    from .demo import check, run

    try:
        if options.check:
            return 0 if check.check(options.fault, lambda line: print(line, flush=True)) else 1
        run.run(options.port, options.tool_port, options.fault, access_log=options.access_log)
    except ValueError as error:
        options.parser.error(str(error))
    except OSError as error:
        return _cannot_listen(error, "--port or --tool-port")
    return 0


# -- sandbox --------------------------------------------------------------------------------------


def _add_sandbox(commands: _Commands) -> None:
    parser = _command(
        commands,
        "sandbox",
        _sandbox,
        "run a local LTIAAS with an LMS that launches your own tool",
        "It prints the two variables that your tool needs. Ctrl-C stops it.\n\n"
        "examples:\n"
        "  python -m ltiaas_middleware sandbox --tool http://127.0.0.1:5000/launch\n"
        "  python -m ltiaas_middleware sandbox --tool http://127.0.0.1:5000/launch \\\n"
        "      --fault delay:seconds=3 --fault status:status=502,endpoint=/api/memberships\n"
        "  python -m ltiaas_middleware sandbox --tool http://127.0.0.1:5000/launch --empty \\\n"
        "      --pre-approval http://127.0.0.1:5000/register",
    )
    parser.add_argument(
        "--tool", required=True, metavar="URL", help="the address of your tool's launch"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument(
        "--port", type=_port, default=8400, metavar="N", help="0: a free one (8400)"
    )
    parser.add_argument(
        "--api-key", metavar="KEY", help="of the pretended account; a well-known one by default"
    )
    parser.add_argument(
        "--empty",
        action="store_true",
        help="start with an account in which no LMS is registered; the LMS has a page to register",
    )
    parser.add_argument(
        "--pre-approval",
        metavar="URL",
        help="your tool's page that dynamic registration sends the browser to",
    )
    parser.add_argument("--fault", action="append", default=[], metavar="NAME", help=_FAULTS)


def _sandbox(options: argparse.Namespace) -> int:
    from ..sandbox import DEFAULT_API_KEY, serve

    key = DEFAULT_API_KEY if options.api_key is None else options.api_key
    try:
        serve(
            options.tool,
            options.host,
            options.port,
            key,
            options.fault,
            empty=options.empty,
            pre_approval=options.pre_approval,
        )
    except ValueError as error:
        options.parser.error(str(error))
    except OSError as error:
        return _cannot_listen(error, "--port", f"{options.host}:{options.port}")
    return 0


# -- doctor ---------------------------------------------------------------------------------------


def _add_doctor(commands: _Commands) -> None:
    parser = _command(
        commands,
        "doctor",
        _doctor,
        "check your settings, stores and tool, and say what to fix",
        "Settings are read from the environment, as the middleware reads them: LTIAAS_URL,\n"
        "LTIAAS_API_KEY and the others. There is no option for the API key: what stands on a\n"
        "command line stays in the shell's history.\n\n"
        "examples:\n"
        "  python -m ltiaas_middleware doctor\n"
        "  python -m ltiaas_middleware doctor --tool https://tool.example/launch",
    )
    parser.add_argument("--url", metavar="URL", help="the account's address, instead of LTIAAS_URL")
    parser.add_argument(
        "--tool", metavar="URL", help="also check your running tool, by its launch address"
    )


def _doctor(options: argparse.Namespace) -> int:
    from .doctor import examine, report, verdict

    findings = []
    for finding in examine(os.environ, url=options.url, tool=options.tool):
        print(report(finding), flush=True)
        findings.append(finding)
    print(verdict(findings), flush=True)
    return 0 if all(finding.ok for finding in findings) else 1


# -- service-keys ---------------------------------------------------------------------------------


def _add_service_keys(commands: _Commands) -> None:
    group = _command(
        commands,
        "service-keys",
        _list_keys,
        "list, forget or re-encrypt stored service keys; no key is ever shown",
        "LTIAAS_SERVICE_KEYS names the database; LTIAAS_URL, LTIAAS_API_KEY and LTIAAS_SECRET are\n"
        "read as the middleware reads them.\n\n"
        "examples:\n"
        "  python -m ltiaas_middleware service-keys list --platform ID\n"
        "  python -m ltiaas_middleware service-keys forget --platform ID --context ID\n"
        "  python -m ltiaas_middleware service-keys forget --platform ID --all\n"
        "  python -m ltiaas_middleware service-keys rotate",
    )
    actions = group.add_subparsers(title="actions", metavar="ACTION", required=True)
    parser = _command(actions, "list", _list_keys, "show what is stored, a line for each key")
    parser.add_argument("--platform", metavar="ID", help="only this LMS registration's")
    parser = _command(
        actions,
        "forget",
        _forget_keys,
        "delete the key of one activity, or all keys of a platform",
        "An id that is not given is an absent id: a launch without a course, or without an\n"
        "activity, is stored under its own ids. Later launches store keys again.",
    )
    parser.add_argument("--platform", metavar="ID", required=True, help="of the LMS registration")
    parser.add_argument("--context", metavar="ID", help="of the course")
    parser.add_argument("--resource-link", metavar="ID", help="of the activity")
    parser.add_argument("--all", action="store_true", help="every key of the platform")
    _command(
        actions,
        "rotate",
        _rotate_keys,
        "re-encrypt every key, of all platforms, under the first secret",
        "It takes no ids: a secret is only given up once no key needs it any more.",
    )


def _list_keys(options: argparse.Namespace) -> int:
    from . import service_keys

    with _store(options) as store:
        return service_keys.list_keys(store, sys.stdout, platform_id=options.platform)


def _forget_keys(options: argparse.Namespace) -> int:
    from . import service_keys

    one = options.context is not None or options.resource_link is not None
    if options.all and one:
        options.parser.error("give either --all, or --context and --resource-link")
    with _store(options) as store:
        if options.all:
            return service_keys.forget_platform(store, sys.stdout, options.platform)
        return service_keys.forget_key(
            store, sys.stdout, options.platform, options.context, options.resource_link
        )


def _rotate_keys(options: argparse.Namespace) -> int:
    from . import service_keys

    with _store(options) as store:
        return service_keys.rotate_keys(store, sys.stdout)


@contextlib.contextmanager
def _store(options: argparse.Namespace) -> Iterator[ServiceKeyStore]:
    from ..errors import SettingsError
    from ..service_keys import ServiceKeyStore

    try:
        store = ServiceKeyStore.from_env()
    except SettingsError as error:
        options.parser.error(str(error))
    with contextlib.closing(store):
        yield store


# -- what they have in common ---------------------------------------------------------------------


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: a whole number from 0 to 65535")
    return int(text)


def _cannot_listen(error: OSError, option: str, where: str = "") -> int:
    place = f" on {where}" if where else ""
    # socket.create_server appends how it tried.
    why = (error.strerror or "the address cannot be had").partition(" (while")[0]
    print(f"Cannot listen{place}: {why}. Choose another with {option}.", file=sys.stderr)
    return 1
