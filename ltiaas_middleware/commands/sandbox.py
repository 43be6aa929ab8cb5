"""The options of the sandbox command, and what they do."""

from __future__ import annotations

import argparse

from .command_line import port
from .printing import PROGRAM

__all__ = ["ABOUT", "FAULTS", "add_options", "run"]

ABOUT = f"""\
Prints the two variables that your tool needs to stdout, and everything else to stderr.
Press Ctrl-C to stop it.

examples:
  {PROGRAM} sandbox --tool http://127.0.0.1:8000/launch
  {PROGRAM} sandbox --tool http://127.0.0.1:8000/launch \\
      --fault delay:seconds=3 --fault status:status=502,endpoint=/api/memberships
  {PROGRAM} sandbox --world school.toml --env-file .env
  {PROGRAM} sandbox --tool http://127.0.0.1:8000/launch --empty \\
      --pre-approval http://127.0.0.1:8000/register"""

FAULTS = """\
a fault to inject, as NAME or NAME:key=value,key=value; repeat the option for more faults.
LTIAAS's: delay (seconds), rate_limit (retry_after), per_second (limit), status (status), refuse,
bad_api_key, service_key_refused, reset, lost_answer, truncated, not_json, wrong_type, no_user,
drip (seconds), endless, gzip_bomb, redirect (location). The LMS's (lms, shape): not_a_student,
attempts_used_up, column_gone, course_concluded, access_refused, throttled, lms_down.
Each accepts endpoint=/api/... (which calls) and times=N (how many of them)"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add = parser.add_argument
    add("--tool", metavar="URL", help="your tool's launch URL (default: that of --world)")
    world = parser.add_mutually_exclusive_group()
    world.add_argument(
        "--world", metavar="FILE", help="a TOML file with people, courses and platforms"
    )
    world.add_argument(
        "--preset", metavar="LMS", help="the LMS to use: canvas, moodle, blackboard or brightspace"
    )
    add("--env-file", metavar="FILE", help="write the two variables to this file, such as .env")
    add("--host", default="127.0.0.1", help="host to listen on (default 127.0.0.1)")
    add(
        "--port",
        type=port,
        default=8400,
        metavar="N",
        help="port to listen on; 0 picks a free one (default 8400)",
    )
    add("--api-key", metavar="KEY", help="API key to accept (default: a fixed test key)")
    add(
        "--empty",
        action="store_true",
        help="start without a registered LMS; register one on the LMS's Registration page",
    )
    add(
        "--pre-approval",
        metavar="URL",
        help="the page of your tool to which dynamic registration sends the browser",
    )
    add("--fault", action="append", default=[], metavar="NAME", help=FAULTS)


def run(options: argparse.Namespace) -> int:
    """Serve a sandbox until the user stops it.

    Raises:
        ValueError: an option or a file's content is invalid.
        OSError: a port is in use, or (with ``filename``) a file cannot be opened.
    """
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
