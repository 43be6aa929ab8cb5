"""The commands: ``python -m ltiaas_middleware demo | sandbox | doctor | service-keys``.

Each command has a function that adds its parser, and one that runs it. The latter imports what it
needs, so that ``--help`` is quick. docs/reference/cli.md lists the exit statuses.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from .._version import __version__
from .printing import PROGRAM, fail

_ABOUT_SANDBOX = f"""\
Prints the two variables that your tool needs to stdout, and everything else to stderr.
Press Ctrl-C to stop it.

examples:
  {PROGRAM} sandbox --tool http://127.0.0.1:8000/launch
  {PROGRAM} sandbox --tool http://127.0.0.1:8000/launch \\
      --fault delay:seconds=3 --fault status:status=502,endpoint=/api/memberships
  {PROGRAM} sandbox --world school.toml --env-file .env
  {PROGRAM} sandbox --tool http://127.0.0.1:8000/launch --empty \\
      --pre-approval http://127.0.0.1:8000/register"""
_FAULTS = """\
a fault to inject, as NAME or NAME:key=value,key=value; repeat the option for more faults.
LTIAAS's: delay (seconds), rate_limit (retry_after), per_second (limit), status (status), refuse,
bad_api_key, service_key_refused, reset, lost_answer, truncated, not_json, wrong_type, no_user,
drip (seconds), endless, gzip_bomb, redirect (location). The LMS's (lms, shape): not_a_student,
attempts_used_up, column_gone, course_concluded, access_refused, throttled, lms_down.
Each accepts endpoint=/api/... (which calls) and times=N (how many of them)"""

_Commands = Any  # argparse keeps the type of what add_subparsers returns to itself.
_COMMANDS = ("demo", "sandbox", "doctor", "service-keys")
_DOCS = "https://github.com/ltiaas-middleware/ltiaas-middleware/tree/main/docs"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, by default with the process's arguments, and return the exit status."""
    parser = _parser()
    arguments = sys.argv[1:] if argv is None else list(argv)
    if not arguments:
        parser.print_help()
        return 0
    if not arguments[0].startswith("-") and arguments[0] not in _COMMANDS:
        near = difflib.get_close_matches(arguments[0], _COMMANDS, 1, 0.5)
        hint = f"did you mean {near[0]}?" if near else f"valid commands: {', '.join(_COMMANDS)}"
        parser.error(f"unknown command {arguments[0]!r}; {hint}")
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        # With the usage of the very command, which says what it does take.
        options.parser.error(f"this command does not accept {' '.join(unknown)}")
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
    parser = _Parser(
        prog=PROGRAM,
        description="LTI launches for Python web apps on LTIAAS.",
        epilog="examples:\n"
        f"  {PROGRAM} demo\n"
        f"  {PROGRAM} sandbox --tool http://127.0.0.1:8000/launch\n"
        f"  LTIAAS_URL=... LTIAAS_API_KEY=... {PROGRAM} doctor\n\n"
        f"The same program is installed as ltiaas-middleware. Documentation: {_DOCS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"ltiaas-middleware {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (_add_demo, _add_sandbox, _add_doctor, _add_service_keys):
        add(commands)
    return parser


class _Parser(argparse.ArgumentParser):
    """A parser whose errors say what to do next."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and the message, and exit with status 2."""
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog}: error: {message}\nNext: {self.prog} --help\n")


def _add_command(
    commands: _Commands,
    name: str,
    run: Callable[[argparse.Namespace], int],
    about: str,
    more: str = "",
) -> argparse.ArgumentParser:
    """A command's parser. ``about`` is one line; ``more`` says when to use it."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=about,
        description=f"{about}.",
        epilog=more,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run, parser=parser)
    return parser


def _add_port(parser: argparse.ArgumentParser, name: str, default: int) -> None:
    what = f"port to listen on; 0 picks a free one (default {default})"
    parser.add_argument(name, type=_port, default=default, metavar="N", help=what)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (a number from 0 to 65535)")
    return int(text)


def _add_demo(commands: _Commands) -> None:
    parser = _add_command(
        commands,
        "demo",
        _demo,
        "Try it: run a local LTIAAS, an LMS and a demo tool",
        f"examples:\n  {PROGRAM} demo --open\n  {PROGRAM} demo --check",
    )
    _add_port(parser, "--port", 8400)
    _add_port(parser, "--tool-port", 8401)
    parser.add_argument("--open", action="store_true", help="open the LMS in a browser")
    parser.add_argument("--check", action="store_true", help="launch without a browser, then exit")
    parser.add_argument("--fault", action="append", default=[], metavar="NAME", help=_FAULTS)


def _demo(options: argparse.Namespace) -> int:
    def run() -> int:
        from .demo import run

        if options.check:
            return run.check(options.fault, sys.stdout)
        run.run(options.port, options.tool_port, options.fault, show=options.open)
        return 0

    return _served(options, run, "--port or --tool-port")


def _add_sandbox(commands: _Commands) -> None:
    about = "Develop: run a local LTIAAS and LMS that launch your own tool"
    parser = _add_command(commands, "sandbox", _sandbox, about, _ABOUT_SANDBOX)
    add = parser.add_argument
    add("--tool", metavar="URL", help="your tool's launch URL (default: that of --world)")
    either = parser.add_mutually_exclusive_group().add_argument
    either("--world", metavar="FILE", help="a TOML file with people, courses and platforms")
    presets = "the LMS to use: canvas, moodle, blackboard or brightspace"
    either("--preset", metavar="LMS", help=presets)
    add("--env-file", metavar="FILE", help="write the two variables to this file, such as .env")
    add("--host", default="127.0.0.1", help="host to listen on (default 127.0.0.1)")
    _add_port(parser, "--port", 8400)
    add("--api-key", metavar="KEY", help="API key to accept (default: a fixed test key)")
    empty = "start without a registered LMS; register one on the LMS's Registration page"
    add("--empty", action="store_true", help=empty)
    pre_approval = "the page of your tool to which dynamic registration sends the browser"
    add("--pre-approval", metavar="URL", help=pre_approval)
    add("--fault", action="append", default=[], metavar="NAME", help=_FAULTS)


def _sandbox(options: argparse.Namespace) -> int:
    def run() -> int:
        from ..sandbox import DEFAULT_API_KEY, Sandbox, World, serve

        world = World.preset(options.preset) if options.preset else None
        if options.world:
            world = World.from_toml(options.world)
        if options.tool is None and "tool" not in (world.settings if world else {}):
            raise ValueError("the following arguments are required: --tool")
        sandbox = Sandbox(
            tool=options.tool,
            api_key=DEFAULT_API_KEY if options.api_key is None else options.api_key,
            world=world,
            empty=options.empty or None,
            pre_approval=options.pre_approval,
        )
        serve(sandbox, options.host, options.port, options.fault, env_file=options.env_file)
        return 0

    return _served(options, run, "--port", f" on {options.host}:{options.port}")


def _served(
    options: argparse.Namespace, run: Callable[[], int], ports: str, where: str = ""
) -> int:
    """Run a command that serves a sandbox; ``ports`` are the options for another port."""
    parser: _Parser = options.parser
    try:
        return run()
    except ValueError as error:
        problem = str(error)
    except OSError as error:
        if error.filename is None:
            # socket.create_server appends how it tried.
            why = (error.strerror or "the port is not available").partition(" (while")[0]
            return fail(f"Cannot listen{where}: {why}.", f"choose another with {ports}")
        problem = f"{error.filename}: {error.strerror}"
    except ModuleNotFoundError as error:
        what = f"The {parser.prog.split()[-1]} needs the package {error.name}."
        return fail(what, "pip install 'ltiaas-middleware[sandbox]'")
    parser.error(problem)


def _add_doctor(commands: _Commands) -> None:
    parser = _add_command(
        commands,
        "doctor",
        _doctor,
        "Diagnose: check your settings, account, stores and running tool",
        "doctor reads the same environment variables as the middleware: LTIAAS_URL,\n"
        "LTIAAS_API_KEY and the others. There is no option for the API key, because shells save\n"
        "command lines in their history.\n\n"
        "examples:\n"
        f"  {PROGRAM} doctor\n"
        f"  {PROGRAM} doctor --tool https://tool.example/launch",
    )
    add = parser.add_argument
    add("--url", metavar="URL", help="the account's URL; overrides LTIAAS_URL")
    add("--tool", metavar="URL", help="your tool's launch URL; also checks the tool")
    guard = "a path that your tool guards, such as /staff; checks that the guard also holds in a"
    add("--guard", metavar="PATH", help=f"{guard} launch")
    add("--json", action="store_true", help="print the findings as JSON")


def _doctor(options: argparse.Namespace) -> int:
    from .doctor import examine
    from .doctor.finding import print_findings

    if options.guard and not options.tool:
        options.parser.error("--guard requires --tool")
    findings = examine(os.environ, url=options.url, tool=options.tool, guard=options.guard)
    return print_findings(findings, sys.stdout, as_json=options.json)


def _add_service_keys(commands: _Commands) -> None:
    group = _add_command(
        commands,
        "service-keys",
        _list_keys,
        "Manage stored service keys: list, delete, re-encrypt. Keys are never shown",
        "LTIAAS_SERVICE_KEYS names the database. The command also reads LTIAAS_URL,\n"
        "LTIAAS_API_KEY and LTIAAS_SECRETS, as the middleware does.\n\n"
        "examples:\n"
        f"  {PROGRAM} service-keys list --platform ID\n"
        f"  {PROGRAM} service-keys delete --platform ID --context ID --resource-link ID\n"
        f"  {PROGRAM} service-keys delete --platform ID --all\n"
        f"  {PROGRAM} service-keys rotate",
    )
    actions = group.add_subparsers(title="actions", metavar="ACTION", required=True)
    parser = _add_command(actions, "list", _list_keys, "List the stored keys, one per line")
    parser.add_argument("--platform", metavar="ID", help="list only this LMS registration's keys")
    parser.add_argument("--json", action="store_true", help="print the list as JSON")
    parser = _add_command(
        actions,
        "delete",
        _delete_keys,
        "Delete the key of one activity, or all keys of a platform, after confirmation",
        "The key of a launch without a course or without an activity is stored without that ID.\n"
        "To delete it, use --no-context or --no-resource-link. Later launches store keys again.",
    )
    add = parser.add_argument
    add("--platform", metavar="ID", required=True, help="ID of the LMS registration")
    for name, what in (("context", "course"), ("resource-link", "activity")):
        one = parser.add_mutually_exclusive_group()
        one.add_argument(f"--{name}", metavar="ID", help=f"ID of the {what}")
        one.add_argument(f"--no-{name}", action="store_true", help=f"the launch had no {what}")
    add("--all", action="store_true", help="delete every key of the platform")
    add("--yes", action="store_true", help="do not ask for confirmation")
    about = "Re-encrypt every key, of all platforms, under the first secret"
    _add_command(actions, "rotate", lambda _: _with_store("rotate_keys"), about)


def _list_keys(options: argparse.Namespace) -> int:
    return _with_store("list_keys", options.platform, as_json=options.json)


def _delete_keys(options: argparse.Namespace) -> int:
    from ..activity import ActivityKey

    context = options.context is not None or options.no_context
    link = options.resource_link is not None or options.no_resource_link
    # Both without --all, neither with it.
    if {context, link} != {not options.all}:
        options.parser.error(
            "pass --context ID (or --no-context) and --resource-link ID (or --no-resource-link); "
            "or --all for every key of the platform"
        )
    key = ActivityKey(options.platform, options.context, options.resource_link)
    if not options.yes:
        what = "every key of the platform" if options.all else "the key of the activity"
        print(f"Delete {what}? [y/N] ", end="", file=sys.stderr, flush=True)
        # Anything but a yes, the end of the input included, is a no.
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            return fail("Nothing was deleted.", "confirm with y, or use --yes")
    return _with_store("delete_keys", options.platform if options.all else key)


def _with_store(action: str, *args: Any, **more: Any) -> int:
    """Run a function of the module ``service_keys`` with the store of the environment."""
    from ..errors import ServiceKeyStoreError, SettingsError
    from ..service_keys import ServiceKeyStore
    from . import service_keys

    try:
        with contextlib.closing(ServiceKeyStore.from_env()) as store:
            status: int = getattr(service_keys, action)(store, *args, **more)
            return status
    except SettingsError as error:
        return fail(f"{error}.", "set it to the middleware's value, then run this again", 2)
    except ServiceKeyStoreError as error:
        return fail(f"Cannot use the service-key database: {error}.", f"{PROGRAM} doctor")
