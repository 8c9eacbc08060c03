/* The resize: rows of the result from the coefficients of a whole picture. */

/* Rows of the result are made eight at a time, two such bands in turns: row r in band r / 8 % 2, lane r % 8. */
#define LANES 8
#define CACHE_LINE 64 /* so that no sum lies in two of them */
typedef float Lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

/* How one component's coefficients make one plane of the result. */
typedef struct {
    Py_ssize_t block_rows, block_columns, taps;
    const float *down; /* (block_rows, 2, 8, LANES): of each band, the weights of eight frequencies */
    const int32_t *first_blocks, *last_blocks; /* block rows that each row of the result is made of */
    const int32_t *starts; /* (width,): the first column of coefficients of each column of the result */
    const float *across; /* (width, taps) */
    const float *quantization; /* (64,), in zigzag order */
    Py_ssize_t first_column, last_column; /* of blocks that are needed */
} Axes;

typedef struct {
    const uint32_t *words;
    int32_t dc;
} Block;

/* What one block adds to one band, or to both; weights by place in zigzag order. */
INLINE void add_words(Lanes *const *sums, const Lanes *const *weights, int bands, const Block *block)
{
    const uint32_t *word = block->words + 2, *end = word + block->words[0];
    for (int band = 0; band < bands; band++) *sums[band] += (float)block->dc * *weights[band];
    for (; word < end; word += TOGETHER)
        for (int at = 0; at < TOGETHER; at++) {
            unsigned order = word[at] & 63, column = ZIGZAG[order] & 7;
            float value = (float)((int32_t)word[at] >> 16);
            for (int band = 0; band < bands; band++) sums[band][column] += value * weights[band][order];
        }
}

INLINE void add_blocks(float *const *sums, const Lanes *const *weights, int bands, const Axes *axes,
                       const Component *component, Block *const *blocks, Py_ssize_t columns)
{
    for (Py_ssize_t column = 0; column < columns; column++)
        for (int block = 0; block < component->across; block++) {
            Py_ssize_t x = column * component->across + block;
            Lanes *to[2] = {(Lanes *)sums[0] + x * 8, bands > 1 ? (Lanes *)sums[1] + x * 8 : NULL};
            if (x >= axes->first_column && x < axes->last_column) add_words(to, weights, bands, blocks[block] + column);
        }
}

FOR_EACH_PROCESSOR
static void add_block_row(float *const *sums, const Axes *axes, const Component *component, Block *const *blocks,
                          Py_ssize_t columns, Py_ssize_t row)
{
    float *to[2];
    Lanes room[2][64];
    const Lanes *weights[2] = {room[0], room[1]};
    int bands = 0;
    for (int band = 0; band < 2; band++) {
        const float *of = axes->down + (row * 2 + band) * 8 * LANES;
        int is_used = 0;
        for (int at = 0; at < 8 * LANES; at++) is_used |= of[at] != 0;
        if (!is_used) continue;
        for (int order = 0; order < 64; order++)
            room[bands][order] = axes->quantization[order] * ((const Lanes *)of)[ZIGZAG[order] >> 3];
        to[bands++] = sums[band];
    }
    if (bands == 1)
        add_blocks(to, weights, 1, axes, component, blocks, columns);
    else if (bands == 2)
        add_blocks(to, weights, 2, axes, component, blocks, columns);
}

/* Rows `from` to `to` of a plane, of one band. */
FOR_EACH_PROCESSOR
static void finish_rows(float *plane, Py_ssize_t width, const float *band, const Axes *axes, Py_ssize_t from, Py_ssize_t to)
{
    for (Py_ssize_t x = 0; x < width; x++) {
        const Lanes *sums = (const Lanes *)band + axes->starts[x];
        const float *weights = axes->across + x * axes->taps;
        Lanes even = {0}, odd = {0};
        for (Py_ssize_t tap = 0; tap < axes->taps; tap += 2)
            even += sums[tap] * weights[tap], odd += sums[tap + 1] * weights[tap + 1];
        even += odd;
        for (Py_ssize_t row = from; row < to; row++) plane[row * width + x] = even[row % LANES];
    }
}

/* Where all blocks of a row of groups lie. */
static void list_blocks(const Picture *picture, Py_ssize_t *stretch, Py_ssize_t *group, Block *const *blocks, Py_ssize_t columns)
{
    const Scan *scan = picture->scan;
    for (Py_ssize_t column = 0; column < columns; column++, ++*group) {
        const Stretch *in;
        const uint32_t *words;
        while (*group >= picture->stretches[*stretch].count) ++*stretch, *group = 0;
        in = picture->stretches + *stretch;
        words = in->part->words + in->part->groups[in->first + *group].word;
        for (int block = 0; block < scan->blocks; block++, words += 2 + words[0]) {
            blocks[block][column].words = words;
            blocks[block][column].dc = (int32_t)words[1] + in->dc[scan->component_of[block]];
        }
    }
}

/* The block row with which a band is done, as far as rows before `last` are wanted. */
static Py_ssize_t end_of(const Axes *axes, Py_ssize_t band, Py_ssize_t last)
{
    Py_ssize_t end = (band + 1) * LANES;
    return axes->last_blocks[(end < last ? end : last) - 1];
}

/* Rows `first` to `last` of `planes`, (components, height, width). */
static int gather_rows(const Picture *picture, const Axes *axes, int components, float *planes, Py_ssize_t height,
                       Py_ssize_t width, Py_ssize_t first, Py_ssize_t last)
{
    const Scan *scan = picture->scan;
    const Py_ssize_t columns = scan->columns;
    Py_ssize_t low = PY_SSIZE_T_MAX, high = 0, bands[MOST_COMPONENTS] = {0}, stretch = 0, group;
    float *sums[MOST_COMPONENTS][2] = {{0}};
    char *bands_room, *at;
    Block *blocks[MOST_BLOCKS] = {0}, *blocks_room;
    size_t bands_bytes = 0, blocks_bytes = (size_t)(columns * scan->blocks) * sizeof(Block);
    for (int which = 0; which < components; which++) {
        Py_ssize_t from = axes[which].first_blocks[first] / scan->components[which].down;
        Py_ssize_t to = axes[which].last_blocks[last - 1] / scan->components[which].down;
        low = from < low ? from : low, high = to > high ? to : high;
        bands_bytes += (size_t)axes[which].block_columns * 2 * 8 * sizeof(Lanes);
    }
    bands_bytes += CACHE_LINE;
    bands_room = take_memory(&bands_bytes), blocks_room = take_memory(&blocks_bytes);
    if (bands_room == NULL || blocks_room == NULL) {
        leave_memory(bands_room, bands_bytes), leave_memory(blocks_room, blocks_bytes);
        return -1;
    }
    at = bands_room + CACHE_LINE - (uintptr_t)bands_room % CACHE_LINE;
    for (int which = 0; which < components; which++)
        for (int band = 0; band < 2; band++, at += axes[which].block_columns * 8 * (Py_ssize_t)sizeof(Lanes)) {
            sums[which][band] = (float *)at;
            memset(at, 0, (size_t)axes[which].block_columns * 8 * sizeof(Lanes));
        }
    for (int block = 0; block < scan->blocks; block++) blocks[block] = blocks_room + block * columns;
    /* The bands before `first` that are not done when it begins are begun, too, and emptied in their turn. */
    for (int which = 0; which < components; which++)
        while (end_of(axes + which, bands[which], last) < low * scan->components[which].down) bands[which]++;
    for (group = low * columns; group >= picture->stretches[stretch].count; stretch++)
        group -= picture->stretches[stretch].count;
    for (Py_ssize_t groups = low; groups <= high; groups++) {
        Block *const *of = blocks;
        list_blocks(picture, &stretch, &group, blocks, columns);
        for (int which = 0; which < components; which++) {
            const Axes *by = axes + which;
            const Component *component = scan->components + which;
            for (int down = 0; down < component->down; down++, of += component->across) {
                Py_ssize_t row = groups * component->down + down;
                if (row >= by->block_rows) continue;
                add_block_row(sums[which], by, component, of, columns, row);
                while (bands[which] * LANES < last) {
                    Py_ssize_t from = bands[which] * LANES, to = from + LANES;
                    float *band = sums[which][bands[which] % 2];
                    if (end_of(by, bands[which], last) > row) break;
                    from = from < first ? first : from, to = to > last ? last : to;
                    finish_rows(planes + which * height * width, width, band, by, from, to);
                    memset(band, 0, (size_t)by->block_columns * 8 * sizeof(Lanes));
                    bands[which]++;
                }
            }
        }
    }
    leave_memory(bands_room, bands_bytes), leave_memory(blocks_room, blocks_bytes);
    return 0;
}

/* Rows of planes around zero to values from 0 to 255: grey, or from Y, Cb and Cr red, green and blue (JFIF 1.02, page 3). */
FOR_EACH_PROCESSOR
static void colour(float *restrict red, float *restrict green, float *restrict blue, int components, Py_ssize_t length)
{
    for (Py_ssize_t at = 0; at < length; at++) {
        float y = red[at] + 128;
        red[at] = y;
        if (components == 3) {
            float cb = green[at], cr = blue[at];
            red[at] = y + 1.402f * cr;
            green[at] = y - 0.344136f * cb - 0.714136f * cr;
            blue[at] = y + 1.772f * cb;
        }
    }
    for (Py_ssize_t at = 0; at < length; at++) {
        red[at] = red[at] < 0 ? 0 : red[at] > 255 ? 255 : red[at];
        if (components == 3) {
            green[at] = green[at] < 0 ? 0 : green[at] > 255 ? 255 : green[at];
            blue[at] = blue[at] < 0 ? 0 : blue[at] > 255 ? 255 : blue[at];
        }
    }
}

/* Three planes to bytes side by side. */
FOR_EACH_PROCESSOR
static void to_bytes(uint8_t *restrict bytes, const float *restrict first, const float *restrict second,
                     const float *restrict third, Py_ssize_t length)
{
    for (Py_ssize_t at = 0; at < length; at++) {
        bytes[at * 3] = (uint8_t)(first[at] + 0.5f);
        bytes[at * 3 + 1] = (uint8_t)(second[at] + 0.5f);
        bytes[at * 3 + 2] = (uint8_t)(third[at] + 0.5f);
    }
}
