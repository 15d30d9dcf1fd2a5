"""Selenium IDE projects (`.side`) compiled to Chrome Recorder user flows.

A workflow is one run in one browser, so what is compiled is what Selenium runs in one browser: the tests of the
first suite in order if that suite keeps its session (`persistSession`), else its first test; without suites,
the project's first test. A note names the tests left out.

Every command becomes its Recorder equivalent, or a custom step `selenium-ide:<command>` that stops for the
coach, with a note; a command without effect on the page (echo, a comment, a disabled command, a constant that
became a variable) is a note alone. Steps inside control flow stay steps, between the custom steps of the block.
"""

from __future__ import annotations

from typing import Any

from coaching.recordings import chrome_recorder
from coaching.recordings.document import MAX_STEPS, ImportNote, ParsedRecording, RecordingError, quoted
from coaching.recordings.selenium_actions import ACTIONS
from coaching.recordings.selenium_checks import compile_check
from coaching.recordings.selenium_state import Command, NotSupportedError, State
from coaching.recordings.variables import names_in

_BLOCKS = {"if", "while", "times", "do", "forEach"}
_BLOCK_ENDS = {"end", "repeatIf"}
_WITHOUT_EFFECT = {"echo", "setSpeed"}


def parse(project: dict[str, Any]) -> ParsedRecording:
    """Compile a project; raises RecordingError naming the test and the command at fault."""
    tests = _tests(project)
    chosen, notes = _choose(project, tests)
    base_url = _text(project, "url", "The project")
    name = _text(project, "name", "The project") or "Selenium IDE project"
    state = State(base_url=base_url, reserved=names_in(project), notes=notes)
    for test in chosen:
        _compile_test(state, test)
    if not state.steps:
        raise RecordingError("The Selenium IDE project has no command that does anything.")
    title = name if len(tests) == 1 or len(chosen) > 1 else f"{name}: {chosen[0]['name']}"
    document = chrome_recorder.parse({"title": title, "steps": state.steps})
    return ParsedRecording("selenium-ide", title, document, tuple(state.notes), state.constants)


def _tests(project: dict[str, Any]) -> list[dict[str, Any]]:
    tests = project["tests"]
    if not isinstance(tests, list) or not tests:
        raise RecordingError("The Selenium IDE project has no tests.")
    for number, test in enumerate(tests, start=1):
        where = f"Test {number}"
        if not isinstance(test, dict) or not isinstance(test.get("name"), str):
            raise RecordingError(f"{where} of the Selenium IDE project has no name.")
        if not isinstance(test.get("commands"), list):
            raise RecordingError(f"Test {quoted(test['name'])} has no list of commands.")
        if len(test["commands"]) > MAX_STEPS:
            raise RecordingError(
                f"Test {quoted(test['name'])} has {len(test['commands']):,} commands; "
                f"at most {MAX_STEPS:,} are allowed."
            )
    return tests


def _choose(project: dict[str, Any], tests: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[ImportNote]]:
    by_id = {test["id"]: test for test in tests if isinstance(test.get("id"), str)}
    suites = project.get("suites", [])
    chosen: list[dict[str, Any]] = []
    for suite in suites if isinstance(suites, list) else []:
        ids = suite.get("tests", []) if isinstance(suite, dict) else []
        listed = [by_id[one] for one in ids if isinstance(one, str) and one in by_id] if isinstance(ids, list) else []
        chosen = [test for test in listed if test["commands"]]
        if chosen:
            chosen = chosen if suite.get("persistSession") is True else chosen[:1]
            break
    chosen = chosen or [test for test in tests if test["commands"]][:1]
    left_out = [quoted(test["name"]) for test in tests if not any(test is one for one in chosen)]
    taken = ", ".join(quoted(test["name"]) for test in chosen)
    if not left_out:
        return chosen, [ImportNote(None, f"Imported one after the other: {taken}.")] if len(chosen) > 1 else []
    return chosen, [ImportNote(None, f"Imported {taken}; not imported: {', '.join(left_out)}.")]


def _compile_test(state: State, test: dict[str, Any]) -> None:
    depth = 0
    for number, raw in enumerate(test["commands"], start=1):
        command = _command(raw, f"Test {quoted(test['name'])}, command {number}")
        depth -= command.name in _BLOCK_ENDS
        _compile_command(state, command, in_block=depth > 0)
        depth += command.name in _BLOCKS


def _compile_command(state: State, command: Command, *, in_block: bool) -> None:
    if command.name.startswith("//") or not command.name:
        text = command.name.removeprefix("//").strip() or command.comment
        state.note(f"The disabled command {quoted(text)} was left out." if text else "An empty command was left out.")
        return
    if command.name in _WITHOUT_EFFECT:
        state.note(f"‘{command.name}’ does nothing on the page and was left out.")
        return
    if command.name == "store" and not in_block and command.value and "${" not in command.target:
        ours = state.bind(command.value, command.target)
        state.note(f"‘store’ became the variable “{ours}”.")
        return
    _forget_changed_variable(state, command)
    if command.frame_location and state.frame is None:
        state.frame = _frame(command.frame_location)
    try:
        if command.name in ACTIONS:
            ACTIONS[command.name](state, command)
        elif not compile_check(state, command):
            raise NotSupportedError("it has no equivalent in a recording")
    except NotSupportedError as reason:
        _emit_custom(state, command, str(reason))


def _emit_custom(state: State, command: Command, reason: str) -> None:
    parameters = {"target": command.target, "value": command.value, "comment": command.comment}
    state.emit("customStep", name=f"selenium-ide:{command.name}", parameters=parameters)
    state.typed = None
    state.note(f"{quoted(command.name)} is not supported ({reason}): it stops for the coach.", about_last_step=True)


def _forget_changed_variable(state: State, command: Command) -> None:
    """A variable written while the test runs is no constant any more."""
    if command.name.startswith(("store", "execute")):
        written = command.target if command.name == "storeWindowHandle" else command.value
        state.bound.pop(written, None)
    elif command.name in {"times", "forEach", "while", "do", "run"}:
        # These may run any command again, or other tests: nothing stored before is certain after.
        state.bound.clear()


def _command(raw: object, where: str) -> Command:
    if not isinstance(raw, dict):
        raise RecordingError(f"{where} is not an object.")
    if "command" not in raw:
        raise RecordingError(f"{where} has no ‘command’.")
    return Command(
        name=_text(raw, "command", where).strip(),
        target=_text(raw, "target", where),
        value=_text(raw, "value", where),
        comment=_text(raw, "comment", where),
        alternatives=(_locators(raw.get("targets")), _locators(raw.get("fallbackTargets"))),
        frame_location=_text(raw, "frameLocation", where),
        opens_window=_text(raw, "windowHandleName", where) if raw.get("opensWindow") is True else "",
    )


def _text(data: dict[str, Any], name: str, where: str) -> str:
    value = data.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise RecordingError(f"{where}: ‘{name}’ must be text.")
    return value


def _locators(entries: object) -> tuple[str, ...]:
    """The locators of a `targets` list of pairs (locator, kind); what has another shape is ignored."""
    if not isinstance(entries, list):
        return ()
    pairs = [entry for entry in entries if isinstance(entry, list) and entry]
    return tuple(pair[0] for pair in pairs if isinstance(pair[0], str))


def _frame(location: str) -> list[int] | None:
    """`root/0/1` → [0, 1]."""
    root, *indices = location.split("/")
    if root != "root" or not all(index.isdecimal() and len(index) < 5 for index in indices):
        return None
    return [int(index) for index in indices]
