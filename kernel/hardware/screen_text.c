// SPDX-License-Identifier: MIT
#include "screen_text.h"

#include "assert.h"
#include "compiler.h"

void screen_text_init(struct screen_text *text, struct screen *screen, void *memory,
                      size_t capacity)
{
    assert(capacity >= SCREEN_TEXT_LEAST);
    *text = (struct screen_text){.screen = screen, .kept = memory, .capacity = capacity};
}

static char kept_at(const struct screen_text *text, size_t index)
{
    return text->kept[(text->first + index) % text->capacity];
}

static unsigned rows_of_text(const struct screen_text *text)
{
    return text->screen->rows - 1;
}

// ---- the newest lines ---------------------------------------------------------------------------

// By half a screen at once: each time nearly every cell is drawn again, and that is slow.
static void scroll(struct screen_text *text)
{
    struct screen *screen = text->screen;
    const unsigned rows = rows_of_text(text), by = (rows + 1) / 2;
    for (unsigned row = 0; row < rows; row++) {
        for (unsigned column = 0; column < screen->columns; column++)
            screen_set(screen, row, column,
                       row + by < rows ? screen->shown[row + by][column] : ' ');
    }
    text->row -= by;
}

static void next_row(struct screen_text *text)
{
    text->row++;
    text->column = 0;
    if (text->row == rows_of_text(text))
        scroll(text);
}

static void draw(struct screen_text *text, char c)
{
    if (c == '\n') {
        next_row(text);
        return;
    }
    if (text->column == text->screen->columns)
        next_row(text);
    screen_set(text->screen, text->row, text->column++, (uint8_t)c);
}

// Whole lines, unless one alone fills everything.
static void drop_oldest(struct screen_text *text)
{
    char c;
    do {
        c = kept_at(text, 0);
        text->first = (text->first + 1) % text->capacity;
        text->used--;
    } while (c != '\n' && text->used > 0);
    text->lines_lost++;
}

void screen_text_add(struct screen_text *text, const char *bytes, size_t length)
{
    const bool there = text->screen->memory != NULL;
    if (there && text->paged)
        screen_text_newest(text);
    for (size_t i = 0; i < length; i++) {
        char c = bytes[i];
        if (c == '\r')
            continue;
        if (c != '\n' && (c < ' ' || c > '~'))
            c = c == '\t' ? ' ' : '?';
        if (text->used == text->capacity)
            drop_oldest(text);
        text->kept[(text->first + text->used++) % text->capacity] = c;
        if (there)
            draw(text, c);
    }
}

// ---- pages --------------------------------------------------------------------------------------

// Walks over all that is kept as it would be drawn without end: calls `at` with each character and
// its row. Returns how many rows there are.
static unsigned walk(const struct screen_text *text,
                     void (*at)(void *context, unsigned row, unsigned column, char c),
                     void *context)
{
    unsigned row = 0, column = 0;
    for (size_t i = 0; i < text->used; i++) {
        const char c = kept_at(text, i);
        if (c == '\n' || column == text->screen->columns) {
            row++;
            column = 0;
        }
        if (c == '\n')
            continue;
        if (at != NULL)
            at(context, row, column, c);
        column++;
    }
    return row + (column > 0);
}

struct view {
    struct screen *screen;
    unsigned first, rows; // of what is walked over
    unsigned ends[SCREEN_ROWS_MOST];
};

static void show_one(void *context, unsigned row, unsigned column, char c)
{
    struct view *view = context;
    if (row < view->first || row - view->first >= view->rows)
        return;
    screen_set(view->screen, row - view->first, column, (uint8_t)c);
    view->ends[row - view->first] = column + 1;
}

static void show_from(struct screen_text *text, unsigned first)
{
    struct view view = {.screen = text->screen, .first = first, .rows = rows_of_text(text)};
    walk(text, show_one, &view);
    for (unsigned row = 0; row < view.rows; row++)
        screen_clear_row(text->screen, row, view.ends[row]);
}

void screen_text_newest(struct screen_text *text)
{
    if (text->screen->memory == NULL)
        return;
    const unsigned rows = rows_of_text(text), all = walk(text, NULL, NULL);
    const unsigned shown = (rows + 1) / 2; // as after scrolling: there is room for what comes
    const bool open = text->used > 0 && kept_at(text, text->used - 1) != '\n';
    const unsigned first = all < rows ? 0 : all - shown;
    show_from(text, first);
    text->paged = false;
    text->row = all - first - open;
    // Where the last line goes on, if it has no end yet.
    size_t length = 0;
    while (length < text->used && kept_at(text, text->used - 1 - length) != '\n')
        length++;
    text->column = length == 0 ? 0 : (unsigned)((length - 1) % text->screen->columns + 1);
}

void screen_text_title(struct screen_text *text, const char *title)
{
    struct screen *screen = text->screen;
    if (screen->memory == NULL)
        return;
    for (unsigned column = 0; column < screen->columns; column++)
        screen_set(screen, screen->rows - 1, column,
                   (uint8_t)(SCREEN_INVERSE | (*title != '\0' ? *title++ : ' ')));
}

unsigned screen_text_pages(const struct screen_text *text)
{
    if (text->screen->memory == NULL)
        return 1;
    const unsigned rows = rows_of_text(text), all = walk(text, NULL, NULL);
    return all == 0 ? 1 : (all + rows - 1) / rows;
}

void screen_text_show(struct screen_text *text, unsigned page)
{
    if (text->screen->memory == NULL)
        return;
    const unsigned last = screen_text_pages(text) - 1;
    show_from(text, (page < last ? page : last) * rows_of_text(text));
    text->paged = true;
}
