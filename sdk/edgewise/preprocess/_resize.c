/* The antialiased bilinear resize of 8-bit pictures, and their normalising, in one pass over the picture.

   Fixed point throughout, so that every processor gives the same bytes: a pixel is 8 bits before the point and 8 after
   it, a weight a share of 65536, and of each product the upper 16 bits are kept (one instruction on x86, three on
   ARM). What the cut-off bits add up to, half a step for each product on average, is where a sum begins. Half a pixel
   value is added to every pixel until the end: black pixels, too, then have bits to cut off, so the half step is right
   for them, and bytes are rounded by dropping what is after the point.

   ROWS rows of the result are made at a time: down the picture in strips that stay in the second cache and are long
   enough to be fetched ahead, turned so that the ROWS values of a column lie side by side, and then across. The loops
   are plain C that gcc and clang vectorise.

   Every argument is checked here, whoever calls: buffers keep their sizes while they are held, and the windows of the
   weights are copied before they are looked at. Limited API of Python 3.11: one build serves all later versions. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdint.h>
#include <string.h>

#include "processors.h"

#define ROWS 16
#define STRIP 2048
#define HALF 128
/* With more the sums could pass 65535: 255 * 256 + HALF and half a step for each product of both passes. */
#define MOST_TAPS 126
/* Far beyond what Pillow opens, and far below where sizes in bytes overflow 31 bits. */
#define MOST_SIDE (1 << 20)
#define MOST_LINE (1 << 22)

typedef struct {
    Py_ssize_t count, taps;
    int32_t *starts;
    uint16_t *weights;
    uint16_t *used; /* taps up to the last that is not zero */
} Axis;

typedef struct {
    const char *pixels;
    Py_ssize_t height, width, row_bytes, pixel_bytes, channels, line;
} Picture;

typedef struct {
    char *first;
    Py_ssize_t row_bytes, pixel_bytes, channel_bytes, item_bytes;
    int is_planar, is_reversed;
    const float *scale, *bias; /* for each value of a row of the result; float32 only */
} Result;

typedef struct {
    uint16_t *strip, *turned, *across, *line;
    float *scale, *bias;
} Room;

INLINE uint16_t upper(uint16_t value, uint16_t weight) { return (uint16_t)(((uint32_t)value * (uint32_t)weight) >> 16); }
INLINE uint16_t widened(uint8_t value) { return (uint16_t)(value << 8 | HALF); }

/* One line of a strip: the weighted sum of lines of bytes, `row_bytes` apart. */
FOR_EACH_PROCESSOR
static void sum_down(uint16_t *restrict sums, const char *rows, Py_ssize_t row_bytes, const uint16_t *weights,
                     Py_ssize_t taps, Py_ssize_t length)
{
    Py_ssize_t tap = 0, at;
    for (at = 0; at < length; at++) sums[at] = (uint16_t)(taps / 2);
    for (; tap + 4 <= taps; tap += 4) {
        const uint8_t *restrict r0 = (const uint8_t *)rows + tap * row_bytes;
        const uint8_t *restrict r1 = r0 + row_bytes, *restrict r2 = r1 + row_bytes, *restrict r3 = r2 + row_bytes;
        const uint16_t w0 = weights[tap], w1 = weights[tap + 1], w2 = weights[tap + 2], w3 = weights[tap + 3];
        for (at = 0; at < length; at++) {
            uint16_t pair = (uint16_t)(upper(widened(r0[at]), w0) + upper(widened(r1[at]), w1));
            uint16_t next = (uint16_t)(upper(widened(r2[at]), w2) + upper(widened(r3[at]), w3));
            sums[at] = (uint16_t)(sums[at] + pair + next);
        }
    }
    for (; tap < taps; tap++) {
        const uint8_t *restrict row = (const uint8_t *)rows + tap * row_bytes;
        const uint16_t weight = weights[tap];
        for (at = 0; at < length; at++) sums[at] = (uint16_t)(sums[at] + upper(widened(row[at]), weight));
    }
}

/* (ROWS, length) with `stride` values from row to row, to (length, ROWS). */
FOR_EACH_PROCESSOR
static void turn_up(uint16_t *restrict turned, const uint16_t *restrict strip, Py_ssize_t length)
{
    for (Py_ssize_t at = 0; at < length; at++)
        for (Py_ssize_t row = 0; row < ROWS; row++) turned[at * ROWS + row] = strip[row * STRIP + at];
}

/* One value of ROWS rows: the weighted sum of columns that lie `step` columns apart. */
INLINE void sum_columns(uint16_t *restrict sums, const uint16_t *restrict columns, Py_ssize_t step,
                        const uint16_t *restrict weights, Py_ssize_t taps)
{
    Py_ssize_t tap = 0, row;
    step *= ROWS;
    for (row = 0; row < ROWS; row++) sums[row] = (uint16_t)(taps / 2);
    for (; tap + 4 <= taps; tap += 4, columns += 4 * step) {
        const uint16_t w0 = weights[tap], w1 = weights[tap + 1], w2 = weights[tap + 2], w3 = weights[tap + 3];
        for (row = 0; row < ROWS; row++) {
            uint16_t pair = (uint16_t)(upper(columns[row], w0) + upper(columns[step + row], w1));
            uint16_t next = (uint16_t)(upper(columns[2 * step + row], w2) + upper(columns[3 * step + row], w3));
            sums[row] = (uint16_t)(sums[row] + pair + next);
        }
    }
    for (; tap < taps; tap++, columns += step)
        for (row = 0; row < ROWS; row++) sums[row] = (uint16_t)(sums[row] + upper(columns[row], weights[tap]));
}

FOR_EACH_PROCESSOR
static void sum_across(uint16_t *restrict sums, const uint16_t *restrict turned, const Axis *across,
                       Py_ssize_t pixel_bytes, Py_ssize_t channels, int is_planar, int is_reversed)
{
    for (Py_ssize_t x = 0; x < across->count; x++) {
        const uint16_t *columns = turned + across->starts[x] * pixel_bytes * ROWS;
        for (Py_ssize_t place = 0; place < channels; place++) {
            Py_ssize_t channel = is_reversed ? channels - 1 - place : place;
            Py_ssize_t to = is_planar ? place * across->count + x : x * channels + place;
            sum_columns(sums + to * ROWS, columns + channel * ROWS, pixel_bytes, across->weights + x * across->taps,
                        across->used[x]);
        }
    }
}

/* (length, ROWS) to (ROWS, length). */
FOR_EACH_PROCESSOR
static void turn_back(uint16_t *restrict line, const uint16_t *restrict sums, Py_ssize_t length)
{
    for (Py_ssize_t at = 0; at < length; at++)
        for (Py_ssize_t row = 0; row < ROWS; row++) line[row * length + at] = sums[at * ROWS + row];
}

FOR_EACH_PROCESSOR
static void to_bytes(uint8_t *restrict out, const uint16_t *restrict line, Py_ssize_t length)
{
    for (Py_ssize_t at = 0; at < length; at++) out[at] = (uint8_t)(line[at] >> 8);
}

FOR_EACH_PROCESSOR
static void to_floats(float *restrict out, const uint16_t *restrict line, const float *restrict scale,
                      const float *restrict bias, Py_ssize_t length)
{
    for (Py_ssize_t at = 0; at < length; at++) out[at] = (float)(line[at] - HALF) * scale[at] + bias[at];
}

static void write_run(const Result *result, char *out, const uint16_t *line, Py_ssize_t from, Py_ssize_t length)
{
    if (result->item_bytes == 1)
        to_bytes((uint8_t *)out, line + from, length);
    else
        to_floats((float *)out, line + from, result->scale + from, result->bias + from, length);
}

static void resize_rows(const Picture *picture, const Axis *down, const Axis *across, const Result *result,
                        const Room *room, Py_ssize_t first, Py_ssize_t rows)
{
    for (Py_ssize_t at = 0; at < picture->line; at += STRIP) {
        Py_ssize_t length = picture->line - at < STRIP ? picture->line - at : STRIP;
        for (Py_ssize_t row = 0; row < rows; row++) {
            Py_ssize_t y = first + row;
            sum_down(room->strip + row * STRIP, picture->pixels + down->starts[y] * picture->row_bytes + at,
                     picture->row_bytes, down->weights + y * down->taps, down->used[y], length);
        }
        turn_up(room->turned + at * ROWS, room->strip, length);
    }
    Py_ssize_t line = across->count * picture->channels, runs = result->is_planar ? picture->channels : 1;
    sum_across(room->across, room->turned, across, picture->pixel_bytes, picture->channels, result->is_planar,
               result->is_reversed);
    turn_back(room->line, room->across, line);
    for (Py_ssize_t row = 0; row < rows; row++)
        for (Py_ssize_t run = 0; run < runs; run++)
            write_run(result, result->first + (first + row) * result->row_bytes + run * result->channel_bytes,
                      room->line + row * line, run * (line / runs), line / runs);
}

/* ---- arguments ---- */

static int refuse(const char *what)
{
    PyErr_SetString(PyExc_ValueError, what);
    return -1;
}

static int is_of(const Py_buffer *view, const char *format, int dimensions)
{
    return view->ndim == dimensions && view->format != NULL && strcmp(view->format, format) == 0;
}

static int read_picture(Picture *picture, const Py_buffer *view)
{
    if (!is_of(view, "B", 3)) return refuse("image: expected uint8 (height, width, channels)");
    picture->pixels = view->buf;
    picture->height = view->shape[0], picture->width = view->shape[1], picture->channels = view->shape[2];
    picture->row_bytes = view->strides[0], picture->pixel_bytes = view->strides[1];
    if (picture->channels != 1 && picture->channels != 3) return refuse("image: expected 1 or 3 channels");
    if (picture->height < 1 || picture->width < 1 || picture->height > MOST_SIDE || picture->width > MOST_SIDE)
        return refuse("image: sides from 1 to 1048576 are possible");
    if (picture->channels > 1 && view->strides[2] != 1) return refuse("image: channels must lie side by side");
    if (picture->width == 1) picture->pixel_bytes = picture->channels;
    if (picture->pixel_bytes < picture->channels || picture->pixel_bytes > 4)
        return refuse("image: pixels must lie side by side, at most 4 bytes from one to the next");
    picture->line = (picture->width - 1) * picture->pixel_bytes + picture->channels;
    return picture->line <= MOST_LINE ? 0 : refuse("image: too wide");
}

static int read_result(Result *result, const Py_buffer *view, Py_ssize_t channels)
{
    int is_bytes = is_of(view, "B", 3);
    Py_ssize_t width, step;
    if (!is_bytes && !is_of(view, "f", 3)) return refuse("out: expected uint8 or float32 (height, width, channels)");
    if (view->shape[2] != channels) return refuse("out: expected the channels of the image");
    if (view->shape[0] < 1 || view->shape[1] < 1 || view->shape[0] > MOST_SIDE || view->shape[1] > MOST_SIDE / 4)
        return refuse("out: this size is not possible");
    result->first = view->buf, result->item_bytes = view->itemsize, width = view->shape[1];
    result->row_bytes = view->strides[0], result->pixel_bytes = view->strides[1];
    result->channel_bytes = channels == 1 ? result->item_bytes : view->strides[2];
    step = width == 1 ? channels * result->item_bytes : result->pixel_bytes;
    if (view->itemsize == 4 && (((uintptr_t)view->buf | (uintptr_t)view->strides[0] | (uintptr_t)view->strides[2]) & 3))
        return refuse("out: not aligned");
    result->is_planar = channels > 1 && step == result->item_bytes;
    result->is_reversed = !result->is_planar && result->channel_bytes == -result->item_bytes;
    if (result->is_planar) return 0;
    if (result->is_reversed) result->first += (channels - 1) * result->channel_bytes;
    if (step != channels * result->item_bytes || (result->channel_bytes != result->item_bytes && !result->is_reversed))
        return refuse("out: expected channels side by side, forwards or backwards, or planes of rows");
    return 0;
}

/* A copy of the windows, each within `length`. Raises and returns -1 where they are not. */
static int read_axis(Axis *axis, PyObject *starts, PyObject *weights, Py_ssize_t count, Py_ssize_t length)
{
    Py_buffer at, shares;
    int is_wrong = 0;
    if (PyObject_GetBuffer(starts, &at, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS) != 0) return -1;
    if (PyObject_GetBuffer(weights, &shares, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS) != 0) {
        PyBuffer_Release(&at);
        return -1;
    }
    /* int32 is `long` in NumPy on 32-bit systems. */
    if (!(is_of(&at, "i", 1) || is_of(&at, "l", 1)) || at.itemsize != 4 || !is_of(&shares, "H", 2) || at.shape[0] != count
        || shares.shape[0] != count || shares.shape[1] < 1 || shares.shape[1] > MOST_TAPS || shares.shape[1] > length)
        is_wrong = refuse("weights: expected int32 (count,) and uint16 (count, 1 to 126, at most the side)");
    else {
        axis->count = count, axis->taps = shares.shape[1];
        axis->starts = PyMem_Malloc((size_t)count * sizeof(int32_t));
        axis->used = PyMem_Malloc((size_t)count * sizeof(uint16_t));
        axis->weights = PyMem_Malloc((size_t)shares.len);
        if (axis->starts == NULL || axis->used == NULL || axis->weights == NULL) {
            PyErr_NoMemory();
            is_wrong = -1;
        } else {
            memcpy(axis->starts, at.buf, (size_t)at.len);
            memcpy(axis->weights, shares.buf, (size_t)shares.len);
        }
    }
    PyBuffer_Release(&at);
    PyBuffer_Release(&shares);
    for (Py_ssize_t one = 0; is_wrong == 0 && one < count; one++) {
        if (axis->starts[one] < 0 || axis->starts[one] > length - axis->taps)
            return refuse("weights: a window reaches beyond the image");
        axis->used[one] = (uint16_t)axis->taps;
        while (axis->used[one] > 1 && axis->weights[one * axis->taps + axis->used[one] - 1] == 0) axis->used[one]--;
    }
    return is_wrong;
}

/* Scale and bias of each channel, repeated over a row of the result as it lies in memory. */
static int spread(float *to, PyObject *values, Py_ssize_t channels, Py_ssize_t width, const Result *result)
{
    Py_buffer view;
    int is_wrong = 0;
    if (PyObject_GetBuffer(values, &view, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS) != 0) return -1;
    if (!is_of(&view, "f", 1) || view.shape[0] != channels)
        is_wrong = refuse("scale, bias: expected float32, one for each channel");
    for (Py_ssize_t x = 0; is_wrong == 0 && x < width; x++)
        for (Py_ssize_t place = 0; place < channels; place++) {
            Py_ssize_t channel = result->is_reversed ? channels - 1 - place : place;
            to[result->is_planar ? place * width + x : x * channels + place] = ((const float *)view.buf)[channel];
        }
    PyBuffer_Release(&view);
    return is_wrong;
}

static int make_room(Room *room, const Picture *picture, Py_ssize_t line)
{
    room->strip = PyMem_Calloc(ROWS * STRIP, sizeof(uint16_t)); /* rows that the last block lacks are read, too */
    room->turned = PyMem_Malloc((size_t)picture->line * ROWS * sizeof(uint16_t));
    room->across = PyMem_Malloc((size_t)line * ROWS * sizeof(uint16_t));
    room->line = PyMem_Malloc((size_t)line * ROWS * sizeof(uint16_t));
    room->scale = PyMem_Malloc((size_t)line * sizeof(float));
    room->bias = PyMem_Malloc((size_t)line * sizeof(float));
    if (room->strip && room->turned && room->across && room->line && room->scale && room->bias) return 0;
    PyErr_NoMemory();
    return -1;
}

static void leave(Room *room, Axis *down, Axis *across)
{
    PyMem_Free(room->strip), PyMem_Free(room->turned), PyMem_Free(room->across);
    PyMem_Free(room->line), PyMem_Free(room->scale), PyMem_Free(room->bias);
    PyMem_Free(down->starts), PyMem_Free(down->used), PyMem_Free(down->weights);
    PyMem_Free(across->starts), PyMem_Free(across->used), PyMem_Free(across->weights);
}

static int resize_views(const Py_buffer *image, const Py_buffer *out, PyObject *const *arguments)
{
    Picture picture = {0};
    Result result = {0};
    Axis down = {0}, across = {0};
    Room room = {0};
    int is_wrong = read_picture(&picture, image) || read_result(&result, out, picture.channels)
                   || read_axis(&down, arguments[0], arguments[1], out->shape[0], picture.height)
                   || read_axis(&across, arguments[2], arguments[3], out->shape[1], picture.width)
                   || make_room(&room, &picture, across.count * picture.channels);
    if (!is_wrong && result.item_bytes == 4) {
        is_wrong = spread(room.scale, arguments[4], picture.channels, across.count, &result)
                   || spread(room.bias, arguments[5], picture.channels, across.count, &result);
        result.scale = room.scale, result.bias = room.bias;
    }
    if (!is_wrong) {
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t row = 0; row < down.count; row += ROWS)
            resize_rows(&picture, &down, &across, &result, &room, row, down.count - row < ROWS ? down.count - row : ROWS);
        Py_END_ALLOW_THREADS
    }
    leave(&room, &down, &across);
    return is_wrong ? -1 : 0;
}

static PyObject *resize(PyObject *module, PyObject *arguments)
{
    PyObject *image, *out, *rest[6];
    Py_buffer from, to;
    int status;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "OOOOOOOO:resize", &image, &out, &rest[0], &rest[1], &rest[2], &rest[3], &rest[4],
                          &rest[5]))
        return NULL;
    if (PyObject_GetBuffer(image, &from, PyBUF_FORMAT | PyBUF_STRIDES) != 0) return NULL;
    if (PyObject_GetBuffer(out, &to, PyBUF_FORMAT | PyBUF_STRIDES | PyBUF_WRITABLE) != 0) {
        PyBuffer_Release(&from);
        return NULL;
    }
    status = resize_views(&from, &to, rest);
    PyBuffer_Release(&to);
    PyBuffer_Release(&from);
    if (status != 0) return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"resize", resize, METH_VARARGS,
     "resize(image, out, down_starts, down_weights, across_starts, across_weights, scale, bias)\n\n"
     "Fill `out`, uint8 or float32 (height, width, channels), from `image`, uint8 (height, width, 1 or 3).\n"
     "Windows: int32 (count,) and uint16 (count, taps), shares of 65536. For float32: value * 256 * scale + bias."},
    {NULL, NULL, 0, NULL}};

static PyModuleDef_Slot slots[] = {{0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_resize",
                                        "The antialiased resize and normalising in C; kernel.py is its only caller.", 0,
                                        methods, slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__resize(void) { return PyModuleDef_Init(&definition); }
