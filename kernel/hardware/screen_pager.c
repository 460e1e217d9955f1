// SPDX-License-Identifier: MIT
#include "screen_pager.h"

#include "format.h"

static void show(struct screen_pager *pager)
{
    char title[SCREEN_COLUMNS_MOST + 1];
    screen_text_show(pager->text, pager->page);
    format(title, sizeof(title), " %s: page %u of %u   space, b: turn   Home, End%s", pager->what,
           pager->page + 1, pager->pages, pager->turns ? "   any key: stay" : "");
    screen_text_title(pager->text, title);
    pager->stayed = 0;
}

void screen_pager_open(struct screen_pager *pager, struct screen_text *text, const char *what,
                       bool last)
{
    const unsigned pages = screen_text_pages(text);
    *pager = (struct screen_pager){.text = text,
                                   .what = what,
                                   .page = last ? pages - 1 : 0,
                                   .pages = pages,
                                   .turns = !last && pages > 1};
    show(pager);
}

void screen_pager_step(struct screen_pager *pager, enum keyboard_key key, uint32_t ms)
{
    const unsigned page = pager->page, last = pager->pages - 1;
    const bool turned = pager->turns;
    pager->turns = pager->turns && key == KEYBOARD_NONE;
    pager->stayed = pager->stayed > UINT32_MAX - ms ? UINT32_MAX : pager->stayed + ms;
    if (key == KEYBOARD_NEXT && page < last)
        pager->page++;
    else if (key == KEYBOARD_BACK && page > 0)
        pager->page--;
    else if (key == KEYBOARD_FIRST)
        pager->page = 0;
    else if (key == KEYBOARD_LAST)
        pager->page = last;
    else if (pager->turns && pager->stayed >= SCREEN_PAGER_MS)
        pager->page = page < last ? page + 1 : 0;
    if (pager->page != page || pager->turns != turned)
        show(pager);
}
