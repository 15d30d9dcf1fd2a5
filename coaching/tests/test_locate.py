"""Recorded selectors lead to exactly one element, or to a question: never to a guess."""

from __future__ import annotations

import threading

import pytest

from .browser_pages import Desk, browser_thread, desk, shared_desk  # noqa: F401

pytestmark = pytest.mark.browser

FORM = """
    <form><label for=amount>Amount</label><input id=amount placeholder="0.00" data-testid=amount-field>
    <button class=primary>Submit claim</button></form>
"""
ROWS = """
    <table>
      <tr><td><input type=radio name=project id=project-1></td><td><label for=project-1>Atlas</label></td></tr>
      <tr><td><input type=radio name=project id=project-2></td><td><label for=project-2>Borealis</label></td></tr>
    </table>
"""


def edits(*rows: str) -> str:
    return "<table>" + "".join(f"<tr><td>{row}</td><td><a href=#>Edit</a></td></tr>" for row in rows) + "</table>"


@pytest.mark.parametrize(
    "selector",
    [
        "aria/Amount",
        'aria/Amount[role="textbox"]',
        'aria/[name="Amount"]',
        "#amount",
        "css/#amount",
        "pierce/#amount",
        "[data-testid=amount-field]",
        '[placeholder="0.00"]',
        'xpath///*[@id="amount"]',
        'xpath///*[@data-testid="amount-field"]',
    ],
)
def test_each_form_of_selector(desk: Desk, selector: str) -> None:  # noqa: F811
    desk.show(FORM)
    located = desk.locate(selector, type="change")
    assert located.found, located.problem
    assert located.selector == selector
    assert located.box
    assert located.box.width > 50
    assert 0.5 <= located.certainty <= 1
    assert located.as_target()["box"]["width"] == located.box.width


def test_text_selectors_find_the_innermost_element(desk: Desk) -> None:  # noqa: F811
    desk.show(FORM)
    assert desk.locate("text/Submit claim").found
    assert not desk.locate("text/Submit").found


def test_selectors_that_agree_are_surer_than_some_that_find_nothing(desk: Desk) -> None:  # noqa: F811
    desk.show(FORM)
    all_agree = desk.locate("aria/Submit claim", "text/Submit claim", "form > button")
    some_lost = desk.locate("aria/Submit claim", "#submit-old", "xpath///*[@id='gone']")
    assert all_agree.found
    assert some_lost.found
    assert all_agree.certainty > some_lost.certainty


def test_an_icon_inside_the_button_agrees_with_the_button(desk: Desk) -> None:  # noqa: F811
    desk.show("<button id=save aria-label=Save><svg width=20 height=20><circle r=9 /></svg></button>")
    located = desk.locate("aria/Save", "#save > svg > circle", "#save")
    assert located.found, located.problem


def test_selectors_that_disagree_are_a_question(desk: Desk) -> None:  # noqa: F811
    desk.show("<button id=one>Approve</button><button id=two>Submit</button>")
    located = desk.locate("aria/Submit", "#one")
    assert not located.found
    assert "no longer lead to the same element" in str(located.problem)
    assert {one.selector for one in located.candidates} == {'aria/Submit[role="button"]', 'aria/Approve[role="button"]'}


def test_found_twice_asks_which_with_the_words_of_each_row(desk: Desk) -> None:  # noqa: F811
    desk.show(edits("Taxi", "Hotel"))
    located = desk.locate("aria/Edit")
    assert located.problem == "“Edit” was found twice. Which one?"
    assert [one.description for one in located.candidates] == ["link “Edit” in “Taxi”", "link “Edit” in “Hotel”"]


def test_a_chosen_candidate_is_found_by_its_selector_alone(desk: Desk) -> None:  # noqa: F811
    desk.show(edits("Taxi", "Hotel"))
    for one in desk.locate("aria/Edit").candidates:
        again = desk.locate(one.selector)
        assert again.found, again.problem
        assert again.box == one.box


def test_identical_rows_are_told_apart_by_a_position_the_coach_chose(desk: Desk) -> None:  # noqa: F811
    desk.show(edits("Taxi", "Taxi"))
    located = desk.locate("aria/Edit")
    assert len(located.candidates) == 2
    assert [one.description for one in located.candidates] == [
        "link “Edit” in “Taxi” (1 of 2 from the top)",
        "link “Edit” in “Taxi” (2 of 2 from the top)",
    ]
    for one in located.candidates:
        again = desk.locate(one.selector)
        assert again.found
        assert again.box == one.box


def test_a_look_alike_row_is_a_question(desk: Desk) -> None:  # noqa: F811
    recorded = ("aria/Borealis", "#project-2", 'xpath///*[@id="project-2"]')
    desk.show(ROWS)
    assert desk.locate(*recorded).found
    desk.show(
        ROWS.replace("</table>", "<tr><td><input type=radio id=p9><td><label for=p9>Borealis</label></tr></table>")
    )
    located = desk.locate(*recorded)
    assert not located.found
    assert len(located.candidates) == 2


def test_an_inserted_row_is_a_question_and_never_the_neighbour(desk: Desk) -> None:  # noqa: F811
    desk.show(
        "<table><tr><td><input type=radio name=project id=project-1></td><td><label for=project-1>Atlas</label></td></tr>"
        "<tr><td><input type=radio name=project id=project-2></td><td><label for=project-2>Aurora</label></td></tr>"
        "<tr><td><input type=radio name=project id=project-3></td><td><label for=project-3>Borealis</label></td></tr></table>"
    )
    located = desk.locate("aria/Borealis", "#project-2")
    assert not located.found
    assert 'aria/Borealis[role="radio"]' in {one.selector for one in located.candidates}


def test_a_deleted_row_is_not_replaced_by_the_next_one(desk: Desk) -> None:  # noqa: F811
    desk.show(ROWS.replace("Borealis", "Cygnus"))
    located = desk.locate("aria/Borealis", "#project-2", "tr:nth-child(2) input")
    assert not located.found
    assert "“Borealis” was recorded" in str(located.problem)
    assert "“Cygnus”" in str(located.problem)


def test_a_row_number_is_never_enough(desk: Desk) -> None:  # noqa: F811
    desk.show(ROWS)
    assert not desk.locate("#project-2", "pierce/#project-2").found


@pytest.mark.parametrize(
    "selector",
    ["tr:nth-child(1) > td:nth-child(2) > a", "body > table a", "xpath///table/tbody/tr[1]/td[2]/a", "a", "xpath///a"],
)
def test_a_position_alone_is_a_question(desk: Desk, selector: str) -> None:  # noqa: F811
    desk.show(edits("Taxi"))
    located = desk.locate(selector)
    assert not located.found
    assert "only by its position" in str(located.problem)
    assert located.candidates[0].selector == 'aria/Edit[role="link"]'


def test_a_renamed_field_is_a_question_that_shows_the_new_one(desk: Desk) -> None:  # noqa: F811
    desk.show(FORM.replace(">Amount<", ">Total incl. VAT<"))
    located = desk.locate("aria/Amount", "#amount", type="change")
    assert located.problem == (
        "“Amount” was recorded, but the element in its place is now called “Total incl. VAT”. Is it the right one?"
    )
    chosen = located.candidates[0].selector
    assert desk.locate(chosen, type="change").found


def test_add_in_place_of_remove_is_a_question(desk: Desk) -> None:  # noqa: F811
    desk.show("<button id=item-action data-testid=item-action>Add to basket</button>")
    located = desk.locate("aria/Remove from basket", "#item-action", "[data-testid=item-action]")
    assert not located.found
    assert "“Remove from basket”" in str(located.problem)
    assert "“Add to basket”" in str(located.problem)


def test_not_found_names_what_is_similar(desk: Desk) -> None:  # noqa: F811
    desk.show("<label for=x>Total amount</label><input id=x><label for=y>Purpose</label><input id=y>")
    located = desk.locate("aria/Amount", "#id_amount", type="change")
    assert located.problem == (
        "“Amount” was not found on this page (Claims). The page has “Total amount”, which is similar."
    )
    assert located.candidates[0].description == "field “Total amount”"
    assert 1 <= len(located.candidates) <= 5


def test_a_count_in_brackets_is_live_data(desk: Desk) -> None:  # noqa: F811
    desk.show("<a href=#>cart (4)</a>")
    assert desk.locate('aria/cart (3)[role="link"]').found
    assert desk.locate("text/cart (3)").found


def test_other_digits_may_differ_only_beside_an_id_without_digits(desk: Desk) -> None:  # noqa: F811
    desk.show("<a href=# id=cart>Cart 4 items</a> <button id=delete-18>Delete claim 18</button>")
    assert desk.locate("aria/Cart 3 items", "#cart").found
    assert not desk.locate("aria/Delete claim 17").found
    assert not desk.locate("aria/Delete claim 17", "#delete-18").found


def test_shadow_roots_by_chain_by_name_and_pierced(desk: Desk) -> None:  # noqa: F811
    desk.show(
        "<shop-box id=box></shop-box><script>"
        "const inner = document.querySelector('#box').attachShadow({mode: 'open'});"
        "inner.innerHTML = '<div id=deep></div>';"
        "inner.querySelector('#deep').attachShadow({mode: 'open'}).innerHTML = '<button id=pay>Pay now</button>';"
        "</script>"
    )
    assert desk.locate(["#box", "#deep", "#pay"]).found
    assert desk.locate("aria/Pay now", ["#box", "div", "#pay"]).found
    assert desk.locate("pierce/#pay").found
    assert desk.locate("text/Pay now").found
    assert not desk.locate("#pay").found
    for one in desk.locate("aria/Pay later").candidates:
        assert desk.locate(one.selector).found


def test_a_chain_of_names_narrows_to_what_is_inside(desk: Desk) -> None:  # noqa: F811
    desk.show("<button aria-label='Add to cart'><span>+</span></button>")
    assert desk.locate(["aria/Add to cart", 'aria/[role="generic"]']).found


def test_frames_inside_frames(desk: Desk) -> None:  # noqa: F811
    desk.site.pages["/inner"] = "<button id=save>Save inner</button>"
    desk.site.pages["/outer"] = "<p>Outer</p><iframe src=/inner style='border: 3px solid; padding: 2px'></iframe>"
    desk.show("<iframe src=about:blank hidden></iframe><iframe src=/outer height=300></iframe>")
    located = desk.locate("aria/Save inner", frame=[1, 0], ms=3_000)
    assert located.found, located.problem
    element = located.element
    box = desk.browser._run(lambda: element().bounding_box())  # type: ignore[union-attr]
    assert located.box
    assert box
    assert [located.box.x, located.box.y] == pytest.approx([box["x"], box["y"]], abs=0.2)
    assert "frame" in str(desk.locate("aria/Save inner", frame=[4]).problem)
    assert not desk.locate("aria/Save inner").found


def test_a_frame_of_another_origin(desk: Desk) -> None:  # noqa: F811
    desk.site.pages["/pay"] = "<button>Pay by card</button>"
    other = desk.site.origin.replace("127.0.0.1", "localhost")
    desk.show(f"<iframe src={other}/pay></iframe>")
    assert desk.locate("aria/Pay by card", frame=[0], ms=3_000).found


def test_waiting_for_an_element_that_comes_later(desk: Desk) -> None:  # noqa: F811
    desk.show("<script>setTimeout(() => { document.body.innerHTML = '<button>Late</button>' }, 300)</script>")
    assert desk.locate("aria/Late", ms=3_000).found


def test_waiting_goes_on_over_a_navigation(desk: Desk) -> None:  # noqa: F811
    desk.site.pages["/second"] = "<button>Arrived</button>"
    desk.show("<script>setTimeout(() => { location.href = '/second' }, 200)</script>")
    assert desk.locate("aria/Arrived", ms=4_000).found


def test_a_look_alike_that_is_still_loading_is_waited_for(desk: Desk) -> None:  # noqa: F811
    # The parser stops at the script, between the first row and its look-alike.
    release = desk.site.held["/slow.js"] = threading.Event()
    desk.site.pages["/list"] = "<button>Open</button><script src=/slow.js></script><button>Open</button>"
    desk.show("<a href=/list>List</a>")
    desk.js("void (location.href = '/list')")
    threading.Timer(0.5, release.set).start()
    assert desk.locate("aria/Open", ms=4_000).problem == "“Open” was found twice. Which one?"


def test_hidden_twins_do_not_count_and_hidden_targets_are_named(desk: Desk) -> None:  # noqa: F811
    desk.show("<button hidden>Save</button><button>Save</button><button style='visibility: hidden'>Send</button>")
    assert desk.locate("aria/Save").found
    assert "not visible" in str(desk.locate("text/Send", "xpath///button[normalize-space()='Send']").problem)


def test_a_column_heading_is_not_the_field_of_its_name(desk: Desk) -> None:  # noqa: F811
    desk.show("<table><tr><th>Amount</th></tr><tr><td><input aria-label=Amount></td></tr></table>")
    assert desk.locate("aria/Amount", type="change").found
    assert not desk.locate("aria/Amount", type="click").found


def test_a_target_below_the_fold_is_brought_into_the_picture(desk: Desk) -> None:  # noqa: F811
    desk.show("<div style='height: 3000px'></div><button>Far down</button>")
    located = desk.locate("aria/Far down")
    assert located.box
    assert 0 <= located.box.y < 700


def test_unreadable_selectors_are_left_out_and_told(desk: Desk) -> None:  # noqa: F811
    desk.show(FORM)
    assert desk.locate("aria/Submit claim", "button[").found
    assert "none of the selectors can be read" in str(desk.locate("button[", "xpath///[").problem)


def test_another_tab_by_its_address(desk: Desk) -> None:  # noqa: F811
    desk.site.pages["/receipt/17"] = "<button>Print</button>"
    desk.show("<a href=/receipt/17 target=_blank>Receipt</a>")
    assert desk.do("click", "aria/Receipt").ok
    located = desk.locate("aria/Print", target=f"{desk.site.origin}/receipt/3", ms=3_000)
    assert located.found, located.problem
    assert desk.browser.url.endswith("/receipt/17")
    assert desk.locate("aria/Receipt", target="main").found
    assert desk.browser.url == f"{desk.site.origin}/"
    assert "is not open" in str(desk.locate("aria/Print", target="http://127.0.0.1/other").problem)


def test_steps_without_a_target_need_none(desk: Desk) -> None:  # noqa: F811
    located = desk.browser.locate({"type": "keyDown", "key": "Enter"})
    assert located.found
    assert located.certainty == 1.0
    assert located.as_target() == {"found": True, "selector": None, "box": None, "candidates": []}


def test_a_page_with_a_strict_content_policy(desk: Desk) -> None:  # noqa: F811
    policy = "script-src 'none'; require-trusted-types-for 'script'"
    desk.show(f'<meta http-equiv=Content-Security-Policy content="{policy}">{FORM}')
    assert desk.locate("aria/Submit claim").found


def test_a_large_page_is_searched_in_a_fraction_of_a_second(desk: Desk) -> None:  # noqa: F811
    desk.show(edits(*(f"Claim {number}" for number in range(1_000))) + FORM)
    assert desk.locate("aria/Submit claim").found
    assert (
        desk.js("""(() => {
        const started = performance.now();
        return globalThis[Symbol.for('coachsite')].locate({
            selectors: [['aria/Submit claim'], ['text/Submit claim']], type: 'click', wait: 0, patience: 0,
        }).then(() => performance.now() - started);
    })()""")
        < 1_000
    )
