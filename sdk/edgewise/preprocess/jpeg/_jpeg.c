/* Baseline JPEG files (ITU-T T.81) straight to a small picture: Huffman decoding, and the resize on the coefficients.

   A resize is linear, and so is the inverse DCT. Their product, weights of coefficients instead of pixels, gives the
   small picture without ever making the large one. What is left is reading the entropy-coded bits, which is done in
   parts by several threads: a part begins anywhere, with a guess that a group of blocks (MCU) begins there. Huffman
   codes fall into step by themselves, so after some groups the guess is right, and `join_parts` finds where: it decodes
   on from the end of one part until a group begins where the next part has one beginning, too.

   Nothing here reports what is wrong with a file. Whatever is not exactly as it should be gives False, and the caller
   leaves the file to Pillow. Every argument is checked here, whoever calls.
   Sums are float32 in a fixed order, so every processor and any number of threads give the same bytes.
   Limited API of Python 3.11: one build serves all later versions. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../processors.h"
#include "workers.h"
#include "memory.h"
#include "bits.h"
#include "parts.h"
#include "rows.h"

#define ARRAYS 6 /* of each component */
#define MOST_THREADS (MOST_WORKERS + 1)

/* What became of a file. */
enum { FAILED = -1, LEFT = 0, READ = 1 };

/* Buffers of other objects, given back together. */
typedef struct {
    Py_buffer views[3 + 4 + 2 + MOST_COMPONENTS * ARRAYS];
    int count;
} Held;

typedef struct {
    Scan scan;
    Picture picture;
    Axes axes[MOST_COMPONENTS];
    int components, is_reversed, has_failed;
    Py_ssize_t height, width, bands, chunks;
    float *planes;
    uint8_t *pixels;
} Reading;

static int refuse(const char *what)
{
    PyErr_SetString(PyExc_ValueError, what);
    return FAILED;
}

/* NULL with an error where the object has no contiguous buffer. */
static const Py_buffer *hold(Held *held, PyObject *object, int flags)
{
    Py_buffer *view = held->views + held->count;
    if (PyObject_GetBuffer(object, view, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS | flags) != 0) return NULL;
    held->count++;
    return view;
}

static int describe(Scan *scan, const Py_buffer *components, const Py_buffer *keep)
{
    scan->component_count = (int)(components->len / 4);
    if (components->len != 4 && components->len != 12) return LEFT;
    if (keep->len != scan->component_count * 64) return LEFT;
    for (int which = 0; which < scan->component_count; which++) {
        const uint8_t *given = (const uint8_t *)components->buf + which * 4;
        Component *component = scan->components + which;
        component->across = given[0], component->down = given[1];
        if (given[0] < 1 || given[0] > 4 || given[1] < 1 || given[1] > 4 || given[2] > 1 || given[3] > 1) return LEFT;
        component->dc = scan->tables + given[2], component->ac = scan->tables + 2 + given[3];
        memcpy(component->keep, (const uint8_t *)keep->buf + which * 64, 64);
        for (int place = 0; place < 64; place++) component->keep[place] = component->keep[place] != 0;
        for (int block = 0; block < given[0] * given[1]; block++) {
            if (scan->blocks == MOST_BLOCKS) return LEFT;
            scan->component_of[scan->blocks++] = (uint8_t)which;
        }
    }
    return READ;
}

/* The items of a buffer of numbers of four bytes, NULL where it is not as expected. */
static void *items(const Py_buffer *view, const char *format, int dimensions)
{
    int is_it = view->format != NULL && view->itemsize == 4 && view->ndim == dimensions;
    /* int32 is `long` in NumPy on 32-bit systems. */
    is_it = is_it && (strcmp(view->format, format) == 0 || (*format == 'i' && strcmp(view->format, "l") == 0));
    return is_it ? view->buf : NULL;
}

static int read_axes(Axes *axes, const Scan *scan, int which, const Py_buffer *views, Py_ssize_t height, Py_ssize_t width)
{
    const Component *component = scan->components + which;
    Py_ssize_t rows = scan->groups / scan->columns * component->down;
    axes->down = items(views, "f", 4), axes->first_blocks = items(views + 1, "i", 1);
    axes->last_blocks = items(views + 2, "i", 1), axes->starts = items(views + 3, "i", 1);
    axes->across = items(views + 4, "f", 2), axes->quantization = items(views + 5, "f", 1);
    if (!axes->down || !axes->first_blocks || !axes->last_blocks || !axes->starts || !axes->across || !axes->quantization)
        return -1;
    axes->block_rows = views[0].shape[0], axes->taps = views[4].shape[1];
    axes->block_columns = scan->columns * component->across;
    if (axes->block_rows > rows || views[0].shape[1] != 2 || views[0].shape[2] != 8 || views[0].shape[3] != LANES)
        return -1;
    if (views[1].shape[0] != height || views[2].shape[0] != height || views[3].shape[0] != width) return -1;
    if (views[4].shape[0] != width || views[5].shape[0] != 64 || axes->taps < 8 || axes->taps % 8) return -1;
    for (Py_ssize_t row = 0; row < height; row++)
        if (axes->first_blocks[row] < (row ? axes->first_blocks[row - 1] : 0)
            || axes->last_blocks[row] < (row ? axes->last_blocks[row - 1] : 0)
            || axes->last_blocks[row] < axes->first_blocks[row] || axes->last_blocks[row] >= axes->block_rows)
            return -1;
    axes->first_column = axes->block_columns;
    for (Py_ssize_t x = 0; x < width; x++) {
        Py_ssize_t low = axes->starts[x] / 8, high = (axes->starts[x] + axes->taps + 7) / 8;
        if (axes->starts[x] < 0 || axes->starts[x] > axes->block_columns * 8 - axes->taps) return -1;
        axes->first_column = low < axes->first_column ? low : axes->first_column;
        axes->last_column = high > axes->last_column ? high : axes->last_column;
    }
    return 0;
}

/* Where the picture goes, and the arrays that it is resized with. */
static int read_request(Reading *reading, Held *held, PyObject *planes, PyObject *pixels, PyObject *arrays)
{
    const Py_buffer *out = hold(held, planes, PyBUF_WRITABLE), *bytes = NULL;
    Py_ssize_t given = PyTuple_Size(arrays);
    if (out == NULL || (pixels != Py_None && (bytes = hold(held, pixels, PyBUF_WRITABLE)) == NULL)) return FAILED;
    if ((reading->planes = items(out, "f", 3)) == NULL || out->shape[0] < 1 || out->shape[1] < 1 || out->shape[1] > MOST_SIDE
        || out->shape[2] < 1 || out->shape[2] > MOST_SIDE)
        return refuse("read: expected planes of float32 (components, height, width)");
    if (out->shape[0] > reading->scan.component_count || given != out->shape[0] * ARRAYS)
        return refuse("read: expected six arrays for each component");
    reading->components = (int)out->shape[0], reading->height = out->shape[1], reading->width = out->shape[2];
    if (bytes != NULL
        && (bytes->itemsize != 1 || bytes->ndim != 3 || out->shape[0] != 3 || bytes->shape[0] != out->shape[1]
            || bytes->shape[1] != out->shape[2] || bytes->shape[2] != 3))
        return refuse("read: expected pixels of uint8 (height, width, 3), for three components");
    reading->pixels = bytes != NULL ? bytes->buf : NULL;
    for (int which = 0; which < reading->components; which++) {
        const Py_buffer *first = held->views + held->count;
        for (int array = 0; array < ARRAYS; array++)
            if (hold(held, PyTuple_GetItem(arrays, which * ARRAYS + array), 0) == NULL) return FAILED;
        if (read_axes(reading->axes + which, &reading->scan, which, first, reading->height, reading->width) != 0)
            return refuse("read: weights do not fit the picture");
    }
    return READ;
}

/* Some rows: resized, coloured, and as bytes if there are any. */
static void gather_chunk(void *context, Py_ssize_t index)
{
    Reading *reading = context;
    Py_ssize_t first = reading->bands * index / reading->chunks * LANES, last = reading->bands * (index + 1) / reading->chunks * LANES;
    Py_ssize_t plane = reading->components > 1 ? reading->height * reading->width : 0, at, length;
    float *red, *green, *blue;
    last = last < reading->height ? last : reading->height;
    at = first * reading->width, length = (last - first) * reading->width;
    red = reading->planes + at, green = red + plane, blue = green + plane;
    if (gather_rows(&reading->picture, reading->axes, reading->components, reading->planes, reading->height, reading->width,
                    first, last) != 0) {
        __atomic_store_n(&reading->has_failed, 1, __ATOMIC_RELAXED);
        return;
    }
    colour(red, green, blue, reading->components, length);
    if (reading->pixels != NULL)
        to_bytes(reading->pixels + at * 3, reading->is_reversed ? blue : red, green, reading->is_reversed ? red : blue, length);
}

/* Everything that needs no Python. */
static int read_scan(Reading *reading, const uint8_t *from, Py_ssize_t length, Py_ssize_t parts, int threads)
{
    if (unstuff(&reading->scan, from, length) != 0) return LEFT;
    if (make_parts(&reading->picture, &reading->scan, reading->scan.interval ? 1 : parts) != 0) return FAILED;
    side_by_side(decode_part, &reading->picture, reading->picture.part_count, threads);
    if (!join_parts(&reading->picture)) return LEFT;
    reading->bands = (reading->height + LANES - 1) / LANES;
    reading->chunks = threads < 2 ? 1 : reading->bands < threads * 2 ? reading->bands : threads * 2;
    side_by_side(gather_chunk, reading, reading->chunks, threads);
    return reading->has_failed ? FAILED : READ;
}

static int read_all(Reading *reading, Held *held, PyObject *const *given, PyObject *tables, Py_ssize_t start, Py_ssize_t parts,
                    int threads)
{
    const Py_buffer *file = hold(held, given[0], 0), *components, *keep;
    int status;
    if (file == NULL || (components = hold(held, given[1], 0)) == NULL || (keep = hold(held, given[2], 0)) == NULL) return FAILED;
    if (start < 0 || start > file->len || file->len > MOST_BYTES) return refuse("read: sizes out of range");
    if (PyTuple_Size(tables) != 4) return refuse("read: expected four tables");
    for (int table = 0; table < 4; table++) {
        const Py_buffer *view = hold(held, PyTuple_GetItem(tables, table), 0);
        if (view == NULL) return FAILED;
        if (build_codes(reading->scan.tables + table, view->buf, view->len) != 0) return LEFT;
        if (table < 2)
            build_differences(reading->scan.tables + table);
        else
            build_pairs(reading->scan.tables + table);
    }
    if (describe(&reading->scan, components, keep) != READ) return LEFT;
    if ((status = read_request(reading, held, given[3], given[4], given[5])) != READ) return status;
    Py_BEGIN_ALLOW_THREADS
    expect_work(threads);
    status = read_scan(reading, (const uint8_t *)file->buf + start, file->len - start, parts, threads);
    expect_no_more(threads);
    Py_END_ALLOW_THREADS
    if (status == FAILED) PyErr_NoMemory();
    return status;
}

static PyObject *read_file(PyObject *module, PyObject *arguments)
{
    PyObject *given[6], *tables;
    Py_ssize_t start, rows, columns, interval, parts;
    int threads, is_reversed, status;
    Held held = {.count = 0};
    Reading *reading;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "OnnnnOOO!niOOpO!:read", given, &start, &rows, &columns, &interval, given + 1, given + 2,
                          &PyTuple_Type, &tables, &parts, &threads, given + 3, given + 4, &is_reversed, &PyTuple_Type, given + 5))
        return NULL;
    if (rows < 1 || columns < 1 || rows > MOST_SIDE || columns > MOST_SIDE || rows * columns > MOST_GROUPS || interval < 0
        || parts < 1 || parts > MOST_PARTS || threads < 1 || threads > MOST_THREADS) {
        refuse("read: sizes out of range");
        return NULL;
    }
    if ((reading = calloc(1, sizeof *reading)) == NULL) return PyErr_NoMemory();
    reading->scan.groups = rows * columns, reading->scan.columns = columns, reading->scan.interval = interval;
    reading->is_reversed = is_reversed;
    status = read_all(reading, &held, given, tables, start, parts, threads);
    free_picture(&reading->picture), free_scan(&reading->scan), free(reading);
    while (held.count) PyBuffer_Release(held.views + --held.count);
    return status == FAILED ? NULL : PyBool_FromLong(status == READ);
}

static PyMethodDef methods[] = {
    {"read", read_file, METH_VARARGS,
     "read(file, start, rows, columns, interval, components, keep, tables, parts, threads, planes, pixels, is_reversed, arrays)\n\n"
     "The entropy-coded bytes of `file` from `start` on, of rows * columns groups of blocks, with a restart after each\n"
     "`interval` (0: none), read in `parts` by `threads`. `components`: four bytes each, blocks across and down in a\n"
     "group, DC and AC table. `keep`: 64 bytes each, 0 for places in zigzag order that are not needed. `tables`: DC 0 and\n"
     "1, AC 0 and 1, 16 counts and the symbols.\n\n"
     "Fills `planes`, float32 (components, height, width), 0 to 255: grey, or red, green and blue; and `pixels`, None or\n"
     "uint8 (height, width, 3), rounded, with `is_reversed` blue first. `arrays`: six for each component, weights down\n"
     "float32 (block rows, 2, 8, 8), first and last block row of each row int32 (height,), the first coefficient of each\n"
     "column int32 (width,), weights across float32 (width, taps), quantization float32 (64,).\n\n"
     "False where the file is not exactly one whole picture."},
    {NULL, NULL, 0, NULL}};

static int begin(PyObject *module)
{
    static int is_known;
    (void)module;
    if (!is_known && pthread_atfork(before_fork, after_fork, after_fork_in_child) != 0) {
        PyErr_NoMemory();
        return -1;
    }
    is_known = 1;
    return 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)begin}, {0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_jpeg",
                                        "JPEG files to small pictures in C; reading.py is its only caller.", 0, methods, slots,
                                        NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__jpeg(void) { return PyModuleDef_Init(&definition); }
