/* Baseline JPEG files (ITU-T T.81) straight to a small picture: Huffman decoding, and the resize on the coefficients.

   A resize is linear, and so is the inverse DCT. Their product, weights of coefficients instead of pixels, gives the
   small picture without ever making the large one. What is left is reading the entropy-coded bits, which is done in
   parts, each in a thread of the caller: a part begins anywhere, with a guess that a group of blocks (MCU) begins
   there. Huffman codes fall into step by themselves, so after some groups the guess is right, and `join` finds where:
   it decodes on from the end of one part until a group begins where the next part has one beginning, too.

   Nothing here reports what is wrong with a file. Whatever is not exactly as it should be gives None, and the caller
   leaves the file to Pillow. Every argument is checked here, whoever calls; the capsules hold only what was made here.
   Sums are float32 in a fixed order, so every processor and any number of threads give the same bytes.
   Limited API of Python 3.11: one build serves all later versions. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../processors.h"
#include "bits.h"
#include "parts.h"
#include "rows.h"

#define SCAN "edgewise.jpeg.scan"
#define PART "edgewise.jpeg.part"
#define JOINED "edgewise.jpeg.joined"

static PyObject *refuse(const char *what)
{
    PyErr_SetString(PyExc_ValueError, what);
    return NULL;
}

static void drop_scan(PyObject *capsule) { free_scan(PyCapsule_GetPointer(capsule, SCAN)); }

static void drop_part(PyObject *capsule)
{
    free_part(PyCapsule_GetPointer(capsule, PART));
    Py_XDECREF((PyObject *)PyCapsule_GetContext(capsule));
}

static void drop_joined(PyObject *capsule)
{
    free_joined(PyCapsule_GetPointer(capsule, JOINED));
    Py_XDECREF((PyObject *)PyCapsule_GetContext(capsule));
}

/* A capsule that keeps another object; None for no pointer. */
static PyObject *wrap(void *pointer, const char *name, PyCapsule_Destructor destructor, PyObject *kept)
{
    PyObject *capsule = PyCapsule_New(pointer, name, destructor);
    if (capsule == NULL) return NULL;
    Py_XINCREF(kept);
    PyCapsule_SetContext(capsule, kept);
    return capsule;
}

static int describe(Scan *scan, const Py_buffer *components, const Py_buffer *keep)
{
    scan->component_count = (int)(components->len / 4);
    if (components->len != 4 && components->len != 12) return -1;
    if (keep->len != scan->component_count * 64) return -1;
    for (int which = 0; which < scan->component_count; which++) {
        const uint8_t *given = (const uint8_t *)components->buf + which * 4;
        Component *component = scan->components + which;
        component->across = given[0], component->down = given[1];
        if (given[0] < 1 || given[0] > 4 || given[1] < 1 || given[1] > 4 || given[2] > 1 || given[3] > 1) return -1;
        component->dc = scan->tables + given[2], component->ac = scan->tables + 2 + given[3];
        memcpy(component->keep, (const uint8_t *)keep->buf + which * 64, 64);
        for (int place = 0; place < 64; place++) component->keep[place] = component->keep[place] != 0;
        for (int block = 0; block < given[0] * given[1]; block++) {
            if (scan->blocks == MOST_BLOCKS) return -1;
            scan->component_of[scan->blocks++] = (uint8_t)which;
        }
    }
    return 0;
}

static PyObject *scan(PyObject *module, PyObject *arguments)
{
    Py_buffer file, components, keep, tables[4];
    Py_ssize_t start, rows, columns, interval;
    Scan *made = NULL;
    PyObject *result = NULL;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "y*nnnny*y*y*y*y*y*:scan", &file, &start, &rows, &columns, &interval, &components, &keep,
                          &tables[0], &tables[1], &tables[2], &tables[3]))
        return NULL;
    if (start < 0 || start > file.len || file.len > MOST_BYTES || rows < 1 || columns < 1 || rows > MOST_SIDE
        || columns > MOST_SIDE || rows * columns > MOST_GROUPS || interval < 0) {
        refuse("scan: sizes out of range");
    } else if ((made = calloc(1, sizeof(Scan))) == NULL) {
        PyErr_NoMemory();
    } else {
        int is_wrong = 0;
        made->groups = rows * columns, made->columns = columns, made->interval = interval;
        for (int table = 0; table < 4 && !is_wrong; table++) {
            is_wrong = build_codes(made->tables + table, tables[table].buf, tables[table].len);
            if (!is_wrong && table >= 2) build_pairs(made->tables + table);
        }
        if (is_wrong || describe(made, &components, &keep) != 0
            || unstuff(made, (const uint8_t *)file.buf + start, file.len - start) != 0) {
            free_scan(made);
            result = Py_None;
            Py_INCREF(result);
        } else if ((result = wrap(made, SCAN, drop_scan, NULL)) == NULL)
            free_scan(made);
    }
    PyBuffer_Release(&file), PyBuffer_Release(&components), PyBuffer_Release(&keep);
    for (int table = 0; table < 4; table++) PyBuffer_Release(&tables[table]);
    return result;
}

static PyObject *decode(PyObject *module, PyObject *arguments)
{
    PyObject *capsule, *result;
    Py_ssize_t index, count;
    const Scan *given;
    Part *part;
    uint32_t stop;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "Onn:decode", &capsule, &index, &count)) return NULL;
    if ((given = PyCapsule_GetPointer(capsule, SCAN)) == NULL) return NULL;
    if (count < 1 || count > MOST_PARTS || index < 0 || index >= count) return refuse("decode: no such part");
    if (given->interval && count > 1) return refuse("decode: with restarts there is one part");
    stop = index + 1 < count ? (uint32_t)(given->length * (index + 1) / count * 8) : UINT32_MAX;
    part = new_part(given, (uint32_t)(given->length * index / count * 8), NULL, given->length / count);
    if (part == NULL) return PyErr_NoMemory();
    Py_BEGIN_ALLOW_THREADS
    decode_groups(part, given->groups, stop, NULL, index > 0);
    Py_END_ALLOW_THREADS
    if ((result = wrap(part, PART, drop_part, capsule)) == NULL) free_part(part);
    return result;
}

static PyObject *join(PyObject *module, PyObject *arguments)
{
    PyObject *capsule, *parts, *result = NULL;
    const Part *given[MOST_PARTS];
    Joined *joined;
    Py_ssize_t count;
    int is_whole;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "OO!:join", &capsule, &PyTuple_Type, &parts)) return NULL;
    count = PyTuple_Size(parts);
    if (count < 1 || count > MOST_PARTS) return refuse("join: expected 1 to 16 parts");
    for (Py_ssize_t at = 0; at < count; at++) {
        if ((given[at] = PyCapsule_GetPointer(PyTuple_GetItem(parts, at), PART)) == NULL) return NULL;
        if (given[at]->scan != PyCapsule_GetPointer(capsule, SCAN)) return refuse("join: parts of another scan");
    }
    if ((joined = calloc(1, sizeof(Joined))) == NULL) return PyErr_NoMemory();
    joined->scan = given[0]->scan;
    joined->stretches = calloc((size_t)count * 2, sizeof(Stretch));
    joined->bridges = calloc((size_t)count * 2, sizeof(Part *));
    if (joined->stretches == NULL || joined->bridges == NULL) {
        free_joined(joined);
        return PyErr_NoMemory();
    }
    is_whole = join_parts(joined, given, count);
    if (!is_whole) {
        joined->count = count * 2; /* a bridge may be there that was not taken */
        free_joined(joined);
        Py_RETURN_NONE;
    }
    if ((result = wrap(joined, JOINED, drop_joined, parts)) == NULL) free_joined(joined);
    return result;
}

/* The items of a contiguous buffer, NULL where it is not as expected. */
static void *items(const Py_buffer *view, const char *format, int dimensions)
{
    int is_it = view->format != NULL && view->itemsize == 4 && view->ndim == dimensions;
    /* int32 is `long` in NumPy on 32-bit systems. */
    is_it = is_it && (strcmp(view->format, format) == 0 || (*format == 'i' && strcmp(view->format, "l") == 0));
    return is_it ? view->buf : NULL;
}

static int read_axes(Axes *axes, const Joined *joined, int which, const Py_buffer *views, Py_ssize_t height, Py_ssize_t width)
{
    const Scan *scan = joined->scan;
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

/* The same rows, coloured, and as bytes if there are any. */
static void finish(float *planes, int components, uint8_t *bytes, int is_reversed, Py_ssize_t height, Py_ssize_t width,
                   Py_ssize_t first, Py_ssize_t last)
{
    Py_ssize_t plane = height * width, at = first * width, length = (last - first) * width;
    float *red = planes + at, *green = red + (components > 1 ? plane : 0), *blue = green + (components > 1 ? plane : 0);
    colour(red, green, blue, components, length);
    if (bytes != NULL) to_bytes(bytes + at * 3, is_reversed ? blue : red, green, is_reversed ? red : blue, length);
}

#define VIEWS 6
static int gather_views(const Joined *joined, PyObject *given, const Py_buffer *out, Py_ssize_t first, Py_ssize_t last,
                        uint8_t *bytes, int is_reversed)
{
    Py_buffer views[MOST_COMPONENTS * VIEWS];
    Axes axes[MOST_COMPONENTS] = {0};
    Py_ssize_t held = 0, components = PyTuple_Size(given) / VIEWS;
    float *planes = items(out, "f", 3);
    int status = -1;
    if (components < 1 || components > joined->scan->component_count || PyTuple_Size(given) % VIEWS) {
        refuse("gather: expected six arrays for each component");
        return -1;
    }
    if (planes == NULL || out->shape[0] != components || first < 0 || first >= last || last > out->shape[1]
        || out->shape[1] > MOST_SIDE || out->shape[2] < 1 || out->shape[2] > MOST_SIDE) {
        refuse("gather: expected rows of float32 (components, height, width)");
        return -1;
    }
    for (; held < components * VIEWS; held++)
        if (PyObject_GetBuffer(PyTuple_GetItem(given, held), views + held, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS) != 0) break;
    if (held == components * VIEWS) {
        status = 0;
        for (int which = 0; which < components && status == 0; which++)
            status = read_axes(axes + which, joined, which, views + which * VIEWS, out->shape[1], out->shape[2]);
        if (status != 0)
            refuse("gather: weights do not fit the picture");
        else {
            Py_BEGIN_ALLOW_THREADS
            status = gather_rows(joined, axes, (int)components, planes, out->shape[1], out->shape[2], first, last);
            if (status == 0)
                finish(planes, (int)components, bytes, is_reversed, out->shape[1], out->shape[2], first, last);
            Py_END_ALLOW_THREADS
            if (status != 0) PyErr_NoMemory();
        }
    }
    while (held) PyBuffer_Release(views + --held);
    return status;
}

static PyObject *gather(PyObject *module, PyObject *arguments)
{
    PyObject *capsule, *to, *given, *pixels;
    Py_ssize_t first, last;
    Py_buffer out, bytes = {0};
    const Joined *joined;
    int status = -1, is_reversed;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "OOnnO!Op:gather", &capsule, &to, &first, &last, &PyTuple_Type, &given, &pixels, &is_reversed))
        return NULL;
    if ((joined = PyCapsule_GetPointer(capsule, JOINED)) == NULL) return NULL;
    if (PyObject_GetBuffer(to, &out, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE) != 0) return NULL;
    if (pixels != Py_None && PyObject_GetBuffer(pixels, &bytes, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE) != 0) {
        PyBuffer_Release(&out);
        return NULL;
    }
    if (bytes.buf != NULL
        && (bytes.itemsize != 1 || bytes.ndim != 3 || out.ndim != 3 || bytes.shape[0] != out.shape[1]
            || bytes.shape[1] != out.shape[2] || bytes.shape[2] != 3 || out.shape[0] != 3))
        refuse("gather: expected pixels of uint8 (height, width, 3), for three components");
    else
        status = gather_views(joined, given, &out, first, last, bytes.buf, is_reversed);
    if (bytes.buf != NULL) PyBuffer_Release(&bytes);
    PyBuffer_Release(&out);
    if (status != 0) return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"scan", scan, METH_VARARGS,
     "scan(file, start, rows, columns, interval, components, keep, dc0, dc1, ac0, ac1) -> capsule or None\n\n"
     "The entropy-coded bytes of `file` from `start` on, of rows * columns groups of blocks, with a restart after each\n"
     "`interval` (0: none). `components`: four bytes each, blocks across and down in a group, DC and AC table. `keep`:\n"
     "64 bytes each, 0 for places in zigzag order that are not needed. Tables: 16 counts and the symbols."},
    {"decode", decode, METH_VARARGS, "decode(scan, index, count) -> capsule\n\nOne of `count` parts; any thread may."},
    {"join", join, METH_VARARGS,
     "join(scan, parts) -> capsule or None\n\nAll parts in order; None where they are not one whole picture."},
    {"gather", gather, METH_VARARGS,
     "gather(joined, out, first, last, arrays, pixels, is_reversed)\n\n"
     "Fill rows `first` to `last` of `out`, float32 (components, height, width), 0 to 255: grey, or red, green and blue;\n"
     "and of `pixels`, None or uint8 (height, width, 3), rounded, with `is_reversed` blue first. For each component, six arrays: weights\n"
     "down float32 (block rows, 2, 8, 8), first and last block row of each row of `out` int32 (height,), the first\n"
     "coefficient of each column int32 (width,), weights across float32 (width, taps), quantization float32 (64,)."},
    {NULL, NULL, 0, NULL}};

static PyModuleDef_Slot slots[] = {{0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_jpeg",
                                        "JPEG files to small pictures in C; reading.py is its only caller.", 0, methods, slots,
                                        NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__jpeg(void) { return PyModuleDef_Init(&definition); }
