"""Every type of step is performed on a real page, and what hinders it is told in a coach's words."""

from __future__ import annotations

import base64
import threading
from pathlib import Path
from typing import Any

import pytest

from coaching.execution.browser import BrowserThread, attach
from coaching.execution.chromium import find_chromium, stop_chromium

from .browser_pages import VIEWPORT, Desk, browser_thread, desk, own_desk, serve, shared_desk  # noqa: F401
from .live import free_port

pytestmark = pytest.mark.browser

SECRET = "hunter2-Ünïque"


def asserting(url: str) -> list[dict[str, str]]:
    return [{"type": "navigation", "url": url}]


# ------------------------------------------------------------------------------------------ going somewhere


def test_navigate_and_arrive(desk: Desk) -> None:  # noqa: F811
    desk.site.pages["/claims/17"] = "<h1>Claim</h1>"
    url = f"{desk.site.origin}/claims/17"
    done = desk.do("navigate", url=url, assertedEvents=asserting("http://recorded.example/claims/4"))
    assert done.ok, done.reason
    assert desk.browser.url == url
    assert desk.browser.look().title == "Claims"


def test_a_redirect_elsewhere_is_told(desk: Desk) -> None:  # noqa: F811
    desk.site.pages["/login"] = "<h1>Sign in</h1>"
    desk.site.redirects["/claims/"] = "/login"
    url = f"{desk.site.origin}/claims/"
    done = desk.do("navigate", url=url, assertedEvents=asserting(url))
    assert not done.ok
    assert done.reason == "The page moved to /login instead of /claims/."


@pytest.mark.parametrize("url", ["file:///etc/passwd", "chrome://version", "http://169.254.169.254/", "javascript:1"])
def test_forbidden_destinations_are_refused_before_going_there(desk: Desk, url: str) -> None:  # noqa: F811
    desk.show("<p>Here</p>")
    done = desk.do("navigate", url=url)
    assert not done.ok
    assert done.reason
    assert desk.browser.url == f"{desk.site.origin}/"


def test_a_server_that_fails_or_is_not_there(desk: Desk) -> None:  # noqa: F811
    desk.site.failing.add("/broken")
    assert desk.do("navigate", url=f"{desk.site.origin}/broken").reason == "The server answered /broken with error 500."
    assert "nothing answers" in str(desk.do("navigate", url="http://127.0.0.1:9191/x").reason)


def test_a_page_that_does_not_load_in_time(desk: Desk) -> None:  # noqa: F811
    release = desk.site.held["/slow"] = threading.Event()
    done = desk.do("navigate", url=f"{desk.site.origin}/slow", ms=300)
    release.set()
    assert done.reason == "/slow did not load within 0.3 seconds."


def test_a_click_that_must_move_on(desk: Desk) -> None:  # noqa: F811
    desk.site.pages["/done/8"] = "<p>Done</p>"
    desk.show("<form action=/done/8 method=post><button>Submit</button></form>")
    assert desk.do("click", "aria/Submit", assertedEvents=asserting("http://x/done/5")).ok
    assert desk.site.visits[-1] == "POST /done/8"
    assert desk.browser.url.endswith("/done/8")


def test_a_click_that_does_not_move_on(desk: Desk) -> None:  # noqa: F811
    desk.show("<button>Submit</button>")
    done = desk.do("click", "aria/Submit", assertedEvents=asserting("http://x/claims/"), ms=400)
    assert done.reason == "Clicked, but the page did not move on to /claims/."
    assert not done.uncertain


def test_a_click_whose_page_is_still_coming_is_uncertain(desk: Desk) -> None:  # noqa: F811
    release = desk.site.held["/slow"] = threading.Event()
    desk.show("<a href=/slow>Go</a>")
    done = desk.do("click", "aria/Go", ms=500)
    release.set()
    assert (done.ok, done.uncertain) == (False, True)


def test_after_a_page_that_never_came_the_next_step_works(desk: Desk) -> None:  # noqa: F811
    release = desk.site.held["/slow"] = threading.Event()
    desk.show("<form action=/slow><input aria-label=Search></form>")
    assert desk.do("click", "aria/Search").ok
    assert desk.do("keyDown", key="Enter", ms=500).uncertain
    desk.show("<button>Next</button>", path="/next")
    assert desk.do("click", "aria/Next").ok
    release.set()


def test_a_click_that_moves_to_the_wrong_page(desk: Desk) -> None:  # noqa: F811
    desk.site.pages["/login"] = "<p>Sign in</p>"
    desk.show("<a href=/login>Claims</a>")
    done = desk.do("click", "aria/Claims", assertedEvents=asserting("http://x/claims/"))
    assert done.reason == "The page moved to /login instead of /claims/."


@pytest.mark.parametrize("asserted", [{}, {"assertedEvents": asserting("http://x/claims/")}], ids=["plain", "asserted"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_click_whose_page_cannot_be_loaded(desk: Desk, method: str, asserted: dict[str, Any]) -> None:  # noqa: F811
    """Where something was sent, nobody knows whether it has arrived."""
    nobody = f"http://127.0.0.1:{free_port()}/claims/"
    desk.show(f"<form action={nobody} method={method}><button>Submit</button></form>")
    done = desk.do("click", "aria/Submit", **asserted)
    assert (done.ok, done.uncertain) == (False, method == "post")
    assert done.reason == "The page that should come next could not be loaded."


def test_a_click_that_moves_on_unasserted_is_waited_for(desk: Desk) -> None:  # noqa: F811
    desk.site.pages["/two"] = "<a href=/three>Next</a>"
    desk.site.pages["/three"] = "<p>End</p>"
    desk.show("<a href=/two>Next</a>")
    for _step in range(2):
        assert desk.do("click", "aria/Next").ok
    assert desk.browser.url.endswith("/three")


def test_a_route_of_a_single_page_application(desk: Desk) -> None:  # noqa: F811
    desk.show("<button onclick=\"history.pushState({}, '', '/inbox/3')\">Inbox</button>")
    assert desk.do("click", "aria/Inbox", assertedEvents=asserting("http://x/inbox/9")).ok


# ------------------------------------------------------------------------------------------ pointing


def test_buttons_of_the_mouse_double_click_and_hover(desk: Desk) -> None:  # noqa: F811
    desk.show(
        "<button>Target</button><script>window.seen = [];"
        "for (const type of ['click', 'dblclick', 'contextmenu', 'mouseover', 'auxclick'])"
        " document.querySelector('button').addEventListener(type, event => seen.push(type + event.button));</script>"
    )
    assert desk.do("hover", "aria/Target").ok
    assert desk.do("click", "aria/Target", button="secondary").ok
    assert desk.do("click", "aria/Target", button="auxiliary").ok
    assert desk.do("click", "aria/Target", duration=50).ok
    assert desk.do("doubleClick", "aria/Target").ok
    seen = desk.js("seen")
    assert seen.count("click0") == 3
    assert {"mouseover0", "contextmenu2", "auxclick1", "dblclick0"} <= set(seen)


def test_where_in_a_canvas_was_clicked(desk: Desk) -> None:  # noqa: F811
    desk.show("<canvas id=map width=300 height=200 onclick='window.at = [event.offsetX, event.offsetY]'></canvas>")
    assert desk.do("click", "#map", offsetX=40, offsetY=70).ok
    assert desk.js("at") == [40, 70]


def test_covered_by_another_element(desk: Desk) -> None:  # noqa: F811
    desk.show("<button>Submit</button><div id=banner style='position: fixed; inset: 0'>Cookie banner: agree?</div>")
    done = desk.do("click", "aria/Submit", ms=300)
    assert done.reason == "“Submit” is covered by “Cookie banner: agree?”."


def test_disabled_and_vanished(desk: Desk) -> None:  # noqa: F811
    desk.show("<button disabled>Submit</button><button id=x>Go</button>")
    assert desk.do("click", "aria/Submit", ms=300).reason == "“Submit” is disabled."
    action = {"type": "click", "selectors": [["aria/Go"]]}
    located = desk.browser.locate(action)
    desk.js("document.querySelector('#x').remove()")
    assert "was not found" in str(desk.browser.perform(action, located, timeout_ms=500).reason)


def test_an_element_drawn_anew_is_found_again(desk: Desk) -> None:  # noqa: F811
    desk.show("<div id=root><button onclick='window.hits = 1'>Go</button></div>")
    action = {"type": "click", "selectors": [["aria/Go"]]}
    located = desk.browser.locate(action)
    desk.js("root.innerHTML = root.innerHTML")
    assert desk.browser.perform(action, located).ok
    assert desk.js("hits") == 1


def test_a_question_is_not_performed(desk: Desk) -> None:  # noqa: F811
    desk.show("<button onclick='window.hit = 1'>Go</button><button onclick='window.hit = 1'>Go</button>")
    done = desk.do("click", "aria/Go", ms=200)
    assert done.reason == "“Go” was found twice. Which one?"
    assert desk.js("window.hit") is None


def test_a_click_inside_a_frame_and_a_shadow_root(desk: Desk) -> None:  # noqa: F811
    desk.site.pages["/inner"] = "<button onclick='parent.hit = 1'>Inner</button>"
    desk.show("<iframe src=/inner></iframe>")
    assert desk.do("click", "aria/Inner", frame=[0]).ok
    assert desk.js("hit") == 1


# ------------------------------------------------------------------------------------------ fields


@pytest.mark.parametrize(
    ("markup", "value", "expected"),
    [
        ("<input>", "42.50", "42.50"),
        ("<textarea></textarea>", "two\nlines", "two\nlines"),
        ("<input type=number>", "42.5", "42.5"),
        ("<input type=date>", "2026-11-30", "2026-11-30"),
        ("<input type=time>", "14:30", "14:30"),
        ("<input type=color>", "#336699", "#336699"),
        ("<input type=range min=0 max=10>", "7", "7"),
        ("<select><option value=t>Travel<option value=m>Meals</select>", "m", "m"),
        ("<select><option value=t>Travel<option value=m>Meals</select>", "Meals", "m"),
    ],
)
def test_a_value_into_each_kind_of_field(desk: Desk, markup: str, value: str, expected: str) -> None:  # noqa: F811
    desk.show(f"<label>Field {markup}</label><script>window.events = [];"
              "for (const type of ['input', 'change']) document.addEventListener(type, () => events.push(type));</script>")  # fmt: skip
    done = desk.do("change", "aria/Field", value=value)
    assert done.ok, done.reason
    assert desk.js("document.querySelector('input, textarea, select').value") == expected
    assert "input" in desk.js("events")


def test_editable_text(desk: Desk) -> None:  # noqa: F811
    desk.show("<div contenteditable=true id=note role=textbox aria-label=Note>old</div>")
    assert desk.do("change", "aria/Note", value="new words").ok
    assert desk.js("note.textContent") == "new words"


def test_a_checkbox_follows_its_click(desk: Desk) -> None:  # noqa: F811
    desk.show("<label><input type=checkbox> Agree</label><label><input type=radio name=r value=b> Borealis</label>")
    assert desk.do("click", "aria/Agree").ok
    assert desk.do("change", "aria/Agree", value="on").ok
    assert desk.js("document.querySelector('[type=checkbox]').checked") is True
    assert desk.do("change", "aria/Agree", value="false").ok
    assert desk.js("document.querySelector('[type=checkbox]').checked") is False
    assert desk.do("change", "aria/Borealis", value="b").ok
    assert desk.js("document.querySelector('[type=radio]').checked") is True


def test_a_checkbox_under_its_label_is_clicked_through_it(desk: Desk) -> None:  # noqa: F811
    desk.show(
        "<input type=checkbox id=c style='position: absolute; left: 20px; top: 20px'>"
        "<label for=c style='position: absolute; left: 0; top: 0; width: 200px; height: 60px; background: #ddd'>Agree</label>"
    )
    assert desk.do("click", "aria/Agree", "#c", ms=1_000).ok
    assert desk.js("c.checked") is True


def test_options_that_come_later_and_options_that_do_not(desk: Desk) -> None:  # noqa: F811
    desk.show(
        "<label>List <select><option>Travel<option>Meals<option disabled>Fuel</select></label><script>"
        "setTimeout(() => document.querySelector('select').add(new Option('Hotel', 'h')), 200)</script>"
    )
    assert desk.do("change", "aria/List", value="h").ok
    done = desk.do("change", "aria/List", value=SECRET, ms=200)
    assert done.reason == "“List” has no such option. It offers “Travel”, “Meals”, “Hotel”."
    assert "is disabled" in str(desk.do("change", "aria/List", value="Fuel").reason)


@pytest.mark.parametrize(
    ("markup", "words"),
    [
        ("<input readonly value=x>", "can only be read"),
        ("<input disabled>", "is disabled"),
        ("<input maxlength=3>", "at most 3 characters"),
        ("<input type=number>", "takes a number"),
        ("<input type=date>", "takes a date like"),
        ("<select></select>", "has no options at all"),
    ],
)
def test_fields_that_do_not_take_the_value_never_tell_it(desk: Desk, markup: str, words: str) -> None:  # noqa: F811
    desk.show(f"<label>Field {markup}</label>")
    done = desk.do("change", "aria/Field", value=SECRET, ms=300)
    assert not done.ok
    assert words in str(done.reason)
    assert SECRET not in str(done)


def test_something_that_is_no_field(desk: Desk) -> None:  # noqa: F811
    desk.show("<h1 id=head>Amount</h1>")
    assert "is not a field" in str(desk.do("change", "#head", value=SECRET).reason)


def test_a_field_that_chooses_a_file(desk: Desk) -> None:  # noqa: F811
    desk.show("<input type=file id=receipt>")
    assert "chooses a file" in str(desk.do("change", "#receipt", value=SECRET).reason)


# ------------------------------------------------------------------------------------------ keys, window, tabs


def test_typing_with_single_keys(desk: Desk) -> None:  # noqa: F811
    desk.site.pages["/search"] = "<p>Found</p>"
    desk.show("<form action=/search><input id=q name=q aria-label=Search><input name=z><button>Go</button></form>")
    assert desk.do("click", "aria/Search").ok
    for key in ("a", "b", "Backspace"):
        assert desk.do("keyDown", key=key).ok
        assert desk.do("keyUp", key=key).ok
    assert desk.js("q.value") == "a"
    assert desk.do("keyDown", key="Tab").ok
    assert desk.do("keyUp", key="Tab").ok
    assert desk.js("document.activeElement.name") == "z"
    assert desk.do("keyDown", key="Enter", assertedEvents=asserting("http://x/search")).ok
    assert "keyboards do not have" in str(desk.do("keyDown", key="Nonsense").reason)


def test_a_key_stays_pressed_over_attachments(browser_thread: BrowserThread, tmp_path: Path) -> None:  # noqa: F811
    profile = tmp_path / "profile"
    try:
        with serve() as site:
            with own_desk(profile, browser_thread, site) as desk:
                desk.show("<button onclick='window.shift = event.shiftKey'>Pick</button>")
                assert desk.do("keyDown", key="Shift").ok
            with own_desk(profile, browser_thread, site, expected=True) as desk:
                assert desk.do("click", "aria/Pick").ok
                assert desk.js("shift") is True
            with own_desk(profile, browser_thread, site, expected=True) as desk:
                assert desk.do("keyUp", key="Shift").ok
                assert desk.do("click", "aria/Pick").ok
                assert desk.js("shift") is False
    finally:
        stop_chromium(profile)


def test_tabs_viewport_and_network_stay_over_attachments(
    browser_thread: BrowserThread,  # noqa: F811
    tmp_path: Path,
) -> None:
    profile = tmp_path / "profile"
    try:
        with serve() as site:
            site.pages["/pop"] = "<button>In pop-up</button>"
            with own_desk(profile, browser_thread, site) as desk:
                desk.show("<button onclick=\"window.open('/pop')\">Open</button>")
                assert desk.do("setViewport", width=820, height=540, deviceScaleFactor=2).ok
                assert desk.do("emulateNetworkConditions", download=50_000, upload=50_000, latency=300).ok
                assert desk.do("click", "aria/Open").ok
            with own_desk(profile, browser_thread, site, expected=True) as desk:
                assert desk.browser.url == f"{site.origin}/"
                assert desk.browser.look().viewport == (820, 540)
                assert desk.do("click", "aria/In pop-up", target=f"{site.origin}/pop").ok
                assert desk.do("close", target=f"{site.origin}/pop").ok
                assert desk.browser.url == f"{site.origin}/"
                assert (
                    desk.js(
                        "(async () => { const begun = Date.now(); await fetch('/pop'); return Date.now() - begun })()"
                    )
                    > 250
                )
    finally:
        stop_chromium(profile)


def test_closing_the_only_tab_leaves_an_empty_one(browser_thread: BrowserThread, tmp_path: Path) -> None:  # noqa: F811
    profile = tmp_path / "profile"
    try:
        with serve() as site, own_desk(profile, browser_thread, site) as desk:
            desk.show("<p>Only</p>")
            assert desk.do("close").ok
            assert desk.browser.url == "about:blank"
            desk.show("<button>Again</button>")
            assert desk.do("click", "aria/Again").ok
    finally:
        stop_chromium(profile)


def test_scroll_the_page_and_an_element(desk: Desk) -> None:  # noqa: F811
    desk.show(
        "<div id=box style='height: 100px; overflow: auto'><p style='height: 900px'></div><p style='height: 3000px'>"
    )
    assert desk.do("scroll", x=0, y=400).ok
    assert desk.js("scrollY") == 400
    assert desk.do("scroll", "#box", x=0, y=50).ok
    assert desk.js("box.scrollTop") == 50


# ------------------------------------------------------------------------------------------ waiting


def test_wait_for_an_element(desk: Desk) -> None:  # noqa: F811
    desk.show(
        "<ul><li class=row data-state=old>One</ul><script>setTimeout(() => {"
        "document.querySelector('ul').innerHTML = '<li class=row data-state=new>One<li class=row data-state=new>Two' }, 200)"
        "</script>"
    )
    assert desk.do("waitForElement", ".row", count=2, operator="==", attributes={"data-state": "new"}).ok
    assert desk.do("waitForElement", ".row", count=3, operator="<=").ok
    assert desk.do("waitForElement", ".row", properties={"tagName": "LI"}).ok
    done = desk.do("waitForElement", "aria/Receipt", ms=200)
    assert done.reason == "“Receipt” did not appear as the step asks within 0.2 seconds."


def test_wait_for_an_element_to_go(desk: Desk) -> None:  # noqa: F811
    desk.show("<p id=spinner>Loading</p><script>setTimeout(() => spinner.remove(), 200)</script><p id=rest>Rest</p>")
    assert desk.do("waitForElement", "#spinner", visible=False).ok
    assert "did not go away" in str(desk.do("waitForElement", "#rest", visible=False, ms=200).reason)


def test_wait_for_an_expression(desk: Desk) -> None:  # noqa: F811
    desk.show("<script>setTimeout(() => { window.ready = true }, 200)</script>")
    assert desk.do("waitForExpression", expression="window.ready").ok
    assert desk.do("waitForExpression", expression="new Promise(done => setTimeout(() => done(1), 50))").ok
    assert "did not become true" in str(desk.do("waitForExpression", expression="false", ms=200).reason)
    assert "not valid" in str(desk.do("waitForExpression", expression="][", ms=200).reason)
    assert "fails on this page" in str(desk.do("waitForExpression", expression="nobody.home", ms=200).reason)
    assert not desk.do("waitForExpression", expression="new Promise(() => {})", ms=200).ok


def test_steps_of_extensions_are_refused(desk: Desk) -> None:  # noqa: F811
    assert "extension" in str(desk.do("customStep", name="x", parameters={}).reason)
    assert "cannot be performed" in str(desk.do("teleport").reason)


# ------------------------------------------------------------------------------------------ dialogs


def test_a_message_is_closed_and_told(desk: Desk) -> None:  # noqa: F811
    desk.show("<button onclick=\"alert('Saved')\">Save</button>")
    done = desk.do("click", "aria/Save")
    assert (done.ok, done.reason) == (True, "The page showed the message “Saved”; it was closed.")


def test_a_question_of_the_page_is_cancelled_and_told(desk: Desk) -> None:  # noqa: F811
    desk.show("<button onclick=\"window.sure = confirm('Delete all?')\">Delete</button>")
    done = desk.do("click", "aria/Delete")
    assert (done.ok, done.reason) == (False, "The page asked “Delete all?”; it was answered with “Cancel”.")
    assert desk.js("sure") is False


# ------------------------------------------------------------------------------------------ pictures


def brightness(desk: Desk, picture: bytes, *points: tuple[float, float]) -> list[tuple[int, int, int]]:  # noqa: F811
    """The colours of a PNG at points, read by the browser itself."""
    source = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    pixels: list[Any] = desk.js(
        f"""(async () => {{
            const image = new Image(); image.src = "{source}"; await image.decode();
            const canvas = document.createElement('canvas'); [canvas.width, canvas.height] = [image.width, image.height];
            const context = canvas.getContext('2d'); context.drawImage(image, 0, 0);
            return [[image.width, image.height, 0],
                    ...{[list(point) for point in points]}.map(([x, y]) => [...context.getImageData(x, y, 1, 1).data].slice(0, 3))];
        }})()"""
    )
    assert tuple(pixels[0][:2]) == desk.browser.look().viewport
    return [tuple(pixel) for pixel in pixels[1:]]


def test_no_secret_is_readable_on_a_picture(desk: Desk) -> None:  # noqa: F811
    style = "position: absolute; left: {x}px; top: {y}px; width: 120px; height: 30px; background: white; border: 0"
    desk.site.pages["/inner"] = f"<body style='margin: 0'><p style='{style.format(x=0, y=0)}; margin: 0'>{SECRET}</p>"
    desk.show(
        f"<input type=password value=abc style='{style.format(x=0, y=0)}'>"
        f"<input value='{SECRET}' style='{style.format(x=200, y=0)}'>"
        f"<p style='{style.format(x=400, y=0)}; margin: 0'>Your code: <b>{SECRET[:4]}</b>{SECRET[4:]}</p>"
        f"<p style='{style.format(x=600, y=0)}; margin: 0'>Nothing secret</p>"
        f"<iframe src=/inner frameborder=0 scrolling=no style='{style.format(x=0, y=100)}'></iframe>"
        f"<div id=host style='{style.format(x=200, y=100)}'></div>"
        f"<script>host.attachShadow({{mode: 'open'}}).innerHTML = \"<div style='height: 30px'>{SECRET}</div>\"</script>"
    )
    picture = desk.browser.look(hide=[SECRET, ""]).picture
    corners = [(x + 60.0, y + 27.0) for x, y in [(0, 0), (200, 0), (400, 0), (0, 100), (200, 100), (600, 0)]]
    *masked, plain = brightness(desk, picture, *corners)
    assert masked == [(61, 61, 61)] * 5
    assert plain == (255, 255, 255)
    assert desk.js("document.querySelectorAll('coach-cover').length") == 0


@pytest.mark.parametrize(
    "markup",
    [
        "<div style='display: contents'>{}</div>",
        "<style>p::after {{ content: attr(data-copy) }}</style><p data-copy='{}'>Copy</p>",
        "<style>p::before {{ content: '{}' }}</style><p>Copy</p>",
        (
            "<p id=part>Copy</p><script>const secret = '{}'; const style = document.createElement('style');"
            "part.dataset.part = secret.slice(4, 8); document.head.append(style);"
            "style.textContent = `p::after {{ content: '${{secret.slice(0, 4)}}' attr(data-part) '\\\\${{"
            "secret.charCodeAt(8).toString(16)}} ' '${{secret.slice(9)}}' }}`</script>"
        ),
        (
            "<p id=part></p><script>const secret = '{}'; const style = document.createElement('style');"
            "part.textContent = secret.slice(4); document.head.append(style);"
            "style.textContent = `p::before {{ content: '${{secret.slice(0, 4)}}' }}`</script>"
        ),
        "<style>b {{ display: contents }} b::after {{ content: '{}' }}</style><p><b></b></p>",
        "<style>p {{ width: 30px; white-space: nowrap }} p::after {{ content: '{}' }}</style><p></p>",
        "<style>p::after {{ content: '{}'; position: absolute; left: 300px; top: 200px }}</style><p>Copy</p>",
        (
            "<div id=host></div><script>host.attachShadow({{mode: 'open'}}).innerHTML ="
            "\"<style>p::before {{ content: '{}' }}</style><p></p>\"</script>"
        ),
        "<img src=/nothing alt='{}'>",
        "<p id=long></p><script>long.innerHTML = [...'{}'].join('&shy;')</script>",
    ],
)
def test_nor_where_it_is_no_plain_text(desk: Desk, markup: str) -> None:  # noqa: F811
    """A picture is the same to the byte, whatever the secret."""
    pictures = []
    for secret in (SECRET, "".join(reversed(SECRET))):
        desk.show(f"<style>* {{ font-family: monospace }}</style>{markup.format(secret)}")
        pictures.append(desk.browser.look(hide=[secret]).picture)
    assert pictures[0] == pictures[1]


def test_what_stands_beside_generated_text_stays_readable(desk: Desk) -> None:  # noqa: F811
    """Text that is not shown, or does not show the secret, hides nothing else."""
    desk.show(
        "<style>body { margin: 0; background: white } body::after { content: '–' }"
        f"p {{ height: 20px; margin: 0 }} p::after {{ content: '{SECRET}'; position: fixed; opacity: 0 }}</style>"
        f"<p>Copy</p><b>{SECRET}</b>"
    )
    picture = desk.browser.look(hide=[SECRET]).picture
    assert brightness(desk, picture, (500, 5), (500, 500), (3, 24)) == [(255, 255, 255)] * 2 + [(61, 61, 61)]


def test_a_picture_without_secrets_shows_everything(desk: Desk) -> None:  # noqa: F811
    desk.show("<body style='margin: 0; background: rgb(10, 200, 30)'>")
    assert brightness(desk, desk.browser.look(hide=["x"]).picture, (5, 5), (990, 690)) == [(10, 200, 30)] * 2


def test_a_tab_behind_another_can_be_pictured(desk: Desk) -> None:  # noqa: F811
    desk.site.pages["/pop"] = "<body style='background: rgb(1, 2, 3)'><input type=password value=x><button>Pop</button>"
    desk.show(
        "<body style='background: rgb(10, 200, 30)'><input type=password value=x><a href=/pop target=_blank>Open</a>"
    )
    assert desk.do("click", "aria/Open").ok
    assert brightness(desk, desk.browser.look().picture, (500, 500)) == [(10, 200, 30)]
    assert desk.locate("aria/Pop", target=f"{desk.site.origin}/pop", ms=3_000).found
    assert brightness(desk, desk.browser.look().picture, (500, 500)) == [(1, 2, 3)]


def test_a_frame_in_a_process_of_its_own(browser_thread: BrowserThread, tmp_path: Path) -> None:  # noqa: F811
    program = tmp_path / "chromium-with-isolated-sites"
    program.write_text(f'#!/bin/sh\nexec {find_chromium(None)} --site-per-process "$@"\n')
    program.chmod(0o755)
    profile = tmp_path / "profile"
    try:
        with serve() as site:
            site.pages["/pay"] = (
                f"<body style='margin: 0'><p style='margin: 0; height: 40px'>{SECRET}</p><button>Pay</button>"
            )
            other = site.origin.replace("127.0.0.1", "localhost")
            with attach(profile, chromium=program, viewport=VIEWPORT, thread=browser_thread) as browser:
                desk = Desk(site, browser)
                desk.show(f"<body style='margin: 0'><iframe src={other}/pay frameborder=0></iframe>")
                assert len(browser._run(lambda: browser._tabs.separate_sessions(browser._page))) == 1
                assert desk.do("click", "aria/Pay", frame=[0]).ok
                assert brightness(desk, browser.look(hide=[SECRET]).picture, (20, 20)) == [(61, 61, 61)]
    finally:
        stop_chromium(profile)


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "metadata.google.internal."]
)
def test_chromium_itself_knows_no_metadata_service(desk: Desk, host: str) -> None:  # noqa: F811
    desk.site.redirects["/out"] = f"http://{host}/"
    assert (
        desk.do("navigate", url=f"{desk.site.origin}/out").reason == "/out could not be opened: there is no such host."
    )


def test_a_message_left_open_by_a_client_does_not_hold_the_next(
    browser_thread: BrowserThread,  # noqa: F811
    tmp_path: Path,
) -> None:
    profile = tmp_path / "profile"
    try:
        with serve() as site:
            with own_desk(profile, browser_thread, site) as desk:
                desk.show("<button>Save</button><script>window.told = 0</script>")
                desk.js("void setTimeout(() => { told = 1; alert('Session ends soon'); told = 2 }, 50)")
            with own_desk(profile, browser_thread, site, expected=True) as desk:
                assert desk.do("waitForExpression", expression="told === 2").ok
                assert desk.do("click", "aria/Save").ok
    finally:
        stop_chromium(profile)


def test_what_a_page_makes_inside_itself_is_its_own(desk: Desk) -> None:  # noqa: F811
    desk.show(
        "<iframe id=made sandbox=allow-scripts></iframe><iframe src='data:text/html,hello'></iframe><button>Go</button>"
        "<script>made.src = 'data:text/html,<script>location = URL.createObjectURL("
        "new Blob([`made`], {type: `text/html`}))<' + '/script>'</script>"
    )
    assert desk.do("click", "aria/Go").ok
    assert desk.browser.url == f"{desk.site.origin}/"
