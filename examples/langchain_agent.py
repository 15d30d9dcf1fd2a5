"""An agent whose risky tool calls wait for a coach: LangChain's human-in-the-loop middleware, answered by coachsite.

    python examples/langchain_agent.py --token TOKEN

With LangChain installed (`pip install langchain`) it is a LangChain agent, its model replaced by a script of three tool
calls so that it needs no key of anybody. Without, a loop of twenty lines makes the same interrupts. What matters is the
same in both: `coachsite_client.langchain.answer` turns an interrupt into questions and the answers into what the agent
resumes with.

Each interrupt is a run of its own, under the interrupt's id: a checkpointed agent that is started again raises the same
interrupt again, and gets the decisions that were made already.
"""

from __future__ import annotations

import argparse
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from coachsite_client import Coach, CoachError
from coachsite_client import langchain as mapping

JSON = dict[str, Any]

TASK = "Tell Alice that the report is late, delete its draft, and ask which day suits her."
#: What the scripted model wants to do, turn by turn.
TURNS: list[list[JSON]] = [
    [
        {"name": "send_email", "args": {"to": "alice@example.org", "text": "The report is late."}},
        {"name": "delete_file", "args": {"path": "report-draft.odt"}},
    ],
    [{"name": "ask_user", "args": {"question": "Which day suits you?"}}],
]
ALLOWED = {
    "send_email": ["approve", "edit", "reject", "respond"],
    "delete_file": ["approve", "reject"],
    "ask_user": ["respond", "reject"],
}


def send_email(to: str, text: str) -> str:
    """Sends an email."""
    return f"sent to {to}: {text}"


def delete_file(path: str) -> str:
    """Deletes a file."""
    return f"deleted {path}"


def ask_user(question: str) -> str:
    """Asks the user something."""
    return f"nobody has answered: {question}"


TOOLS: dict[str, Callable[..., str]] = {"send_email": send_email, "delete_file": delete_file, "ask_user": ask_user}


def answer(coach: Coach, arguments: argparse.Namespace, interrupt_id: str, request: JSON, resume: Any) -> Any:
    """Asks about an interrupt, resumes the agent with the answers, and reports that the approved calls were run."""
    run = f"{arguments.thread}-{interrupt_id}"
    with coach.session("langchain-agent", run, total_steps=len(request["action_requests"])) as session:
        print(f"decide at {arguments.url.rstrip('/')}/sessions/{session.session_id}/", flush=True)
        answers, decisions = mapping.answer(session, request, risk="irreversible")
        for call, said in zip(request["action_requests"], answers["decisions"], strict=True):
            print(f"  {call['name']}: {said}", flush=True)
        result = resume(answers)
        mapping.report(decisions)
        return result


# Without LangChain


def run_scripted(coach: Coach, arguments: argparse.Namespace) -> None:
    """The loop of an agent, as far as its interrupts go."""
    for turn, calls in enumerate(TURNS):
        request = {
            "action_requests": [call | {"description": f"{TASK} (turn {turn + 1})"} for call in calls],
            "review_configs": [{"action_name": name, "allowed_decisions": ALLOWED[name]} for name in ALLOWED],
        }

        def resume(answers: JSON, calls: list[JSON] = calls) -> None:
            for call, decision in zip(calls, answers["decisions"], strict=True):
                print(f"  -> {act(call, decision)}", flush=True)

        answer(coach, arguments, f"turn-{turn + 1}", request, resume)


def act(call: JSON, decision: JSON) -> str:
    """What the model would read as the result of its call."""
    match decision["type"]:
        case "approve":
            return TOOLS[call["name"]](**call["args"])
        case "edit":
            return TOOLS[decision["edited_action"]["name"]](**decision["edited_action"]["args"])
        case "respond":
            return str(decision["message"])
        case _:
            return f"refused: {decision.get('message', '')}"


# With LangChain


def scripted_messages(ai_message: Any) -> Iterator[Any]:
    for turn, calls in enumerate(TURNS):
        yield ai_message(content="", tool_calls=[call | {"id": f"{turn}-{n}"} for n, call in enumerate(calls)])
    yield ai_message(content="Done what I was allowed to do.")


def run_langchain(coach: Coach, arguments: argparse.Namespace) -> None:
    from langchain.agents import create_agent
    from langchain.agents.middleware import HumanInTheLoopMiddleware
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage
    from langchain_core.tools import tool
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.types import Command

    class Scripted(GenericFakeChatModel):  # type: ignore[misc, unused-ignore]
        def bind_tools(self, *_: Any, **__: Any) -> Any:
            return self

    interrupt_on: JSON = {name: {"allowed_decisions": allowed} for name, allowed in ALLOWED.items()}
    agent: Any = create_agent(
        Scripted(messages=scripted_messages(AIMessage)),
        tools=[tool(function) for function in TOOLS.values()],
        middleware=[HumanInTheLoopMiddleware(interrupt_on=interrupt_on)],
        # Yours is one that survives a restart.
        checkpointer=InMemorySaver(),
    )
    config = {"configurable": {"thread_id": arguments.thread}}
    state = agent.invoke({"messages": [{"role": "user", "content": TASK}]}, config)
    while interrupts := state.get("__interrupt__"):
        (interrupt,) = interrupts
        state = answer(
            coach,
            arguments,
            interrupt.id,
            interrupt.value,
            lambda answers: agent.invoke(Command(resume=answers), config),
        )
    for message in state["messages"]:
        print(f"{message.type}: {message.content or message.tool_calls}")


def has_langchain() -> bool:
    try:
        import langchain.agents.middleware  # noqa: F401
    except ImportError:
        return False
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description="An agent whose tool calls wait for a coach.")
    parser.add_argument("--url", default=os.environ.get("COACHSITE_URL", "http://127.0.0.1:8000"))
    parser.add_argument("--token", default=os.environ.get("COACHSITE_TOKEN"), help="or COACHSITE_TOKEN")
    parser.add_argument("--thread", default=f"thread-{uuid.uuid4().hex[:8]}", help="the agent's thread id")
    parser.add_argument("--scripted", action="store_true", help="do without LangChain though it is there")
    arguments = parser.parse_args()
    if not arguments.token:
        parser.error("give --token or set COACHSITE_TOKEN; `python manage.py issue_token USER` prints one")
    try:
        with Coach(arguments.url, arguments.token) as coach:
            run_agent = run_langchain if has_langchain() and not arguments.scripted else run_scripted
            run_agent(coach, arguments)
    except CoachError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
