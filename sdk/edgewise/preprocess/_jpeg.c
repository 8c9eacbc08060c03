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

#define LOOK 11 /* bits that one look into a table decides; more would not stay in the first cache */
#define END 128 /* what "no more in this block" adds to the place in the block: beyond all places */
#define MOST_BLOCKS 10 /* of a group (T.81, B.2.3) */
#define MOST_COMPONENTS 3
/* Beyond the data, for reading whole words; one block takes at most 64 symbols of 31 bits. */
#define PADDING 512
#define MOST_BYTES (1 << 26)
#define MOST_PARTS 16
#define MOST_GROUPS (1 << 22)
#define MOST_WORDS (1 << 25) /* of decoded symbols, in a part */
#define MOST_SIDE (1 << 14)

#if defined(__x86_64__) && defined(__GLIBC__) && (!defined(__clang__) || __clang_major__ >= 14)
#define FOR_EACH_PROCESSOR __attribute__((target_clones("avx2", "default")))
#else
#define FOR_EACH_PROCESSOR
#endif
#define INLINE static inline __attribute__((always_inline))
#define RARE(condition) __builtin_expect(!!(condition), 0)

/* The places of a block in the order in which they are coded: row * 8 + column (T.81, figure A.6). */
static const uint8_t ZIGZAG[64] = {0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48,
                                   41, 34, 27, 20, 13, 6,  7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23,
                                   30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

/* One or two symbols with their values, as far as LOOK bits show them whole. */
typedef struct {
    uint8_t lengths; /* bits of the first, and of both << 4; 0: to be read slowly */
    uint8_t first_step, both_step; /* from the place in the block to those of the values */
    uint8_t has_second;
    int16_t first, second;
} Pair;

typedef struct {
    Pair pairs[1 << LOOK];
    uint16_t codes[1 << LOOK]; /* length << 8 | symbol, 0 for longer codes */
    int32_t begins[17], ends[17], places[17];
    uint8_t symbols[256];
} Huffman;

typedef struct {
    int across, down; /* blocks of a group */
    const Huffman *dc, *ac;
    uint8_t keep[256]; /* by place in the block; 0 from 64 on */
} Component;

typedef struct {
    uint8_t *bytes; /* without stuffing, PADDING zeros behind */
    Py_ssize_t length, *restarts, restart_count;
    Py_ssize_t interval; /* groups of blocks between restarts, 0 for none */
    Py_ssize_t groups, columns; /* of blocks: in all, and side by side */
    int component_count, blocks;
    Component components[MOST_COMPONENTS];
    uint8_t component_of[MOST_BLOCKS];
    Huffman tables[4];
} Scan;

/* Where a group begins. */
typedef struct {
    uint32_t bit, word;
    int32_t dc[MOST_COMPONENTS];
} Group;

/* Decoded groups. Each block is a word with the number of words that follow, its DC value, and words of a value << 16
   and a place in zigzag order. One more Group tells where the last one ends. */
typedef struct {
    const Scan *scan;
    Group *groups;
    uint32_t *words;
    Py_ssize_t count, group_room, word_room;
    int is_bad, is_met;
    Py_ssize_t met; /* the group of the next part that begins where this part ends */
} Part;

typedef struct {
    const uint8_t *at;
    uint64_t buffer;
    int count;
} Bits;

/* ---- Huffman decoding ---- */

INLINE uint64_t eight_bytes(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    return value;
}

/* At least 56 bits. */
INLINE void fill(Bits *bits)
{
    bits->buffer |= eight_bytes(bits->at) >> bits->count;
    bits->at += (63 - bits->count) >> 3;
    bits->count |= 56;
}

INLINE void drop(Bits *bits, int count) { bits->buffer <<= count, bits->count -= count; }

static Bits bits_at(const Scan *scan, uint32_t bit)
{
    Bits bits = {scan->bytes + bit / 8, 0, 0};
    fill(&bits);
    drop(&bits, (int)(bit % 8));
    return bits;
}

INLINE uint32_t place_of(const Scan *scan, const Bits *bits)
{
    return (uint32_t)((bits->at - scan->bytes) * 8 - bits->count);
}

/* T.81, F.2.2.1: EXTEND. */
INLINE int value_of(uint32_t bits, int size) { return size && bits < 1u << (size - 1) ? (int)bits - (1 << size) + 1 : (int)bits; }

/* The next symbol, -1 where there is no such code. */
INLINE int read_symbol(Bits *bits, const Huffman *table)
{
    unsigned entry = table->codes[bits->buffer >> (64 - LOOK)];
    if (entry) {
        drop(bits, (int)(entry >> 8));
        return (int)(entry & 255);
    }
    for (int length = LOOK + 1; length <= 16; length++) {
        int32_t code = (int32_t)(bits->buffer >> (64 - length));
        if (code >= table->begins[length] && code < table->ends[length]) {
            drop(bits, length);
            return table->symbols[table->places[length] + code - table->begins[length]];
        }
    }
    return -1;
}

INLINE int read_value(Bits *bits, int size)
{
    int value = size ? value_of((uint32_t)(bits->buffer >> (64 - size)), size) : 0;
    drop(bits, size);
    return value;
}

INLINE uint32_t word_of(int value, unsigned place) { return (uint32_t)value << 16 | place; }

/* Writes one block's words, at most 67, and returns where they end; NULL for what no encoder writes. */
INLINE uint32_t *read_block(Bits *bits, const Component *component, int32_t *dc, uint32_t *words)
{
    const Huffman *ac = component->ac;
    uint32_t *head = words;
    unsigned place = 0;
    fill(bits);
    int size = read_symbol(bits, component->dc);
    if (RARE(size < 0 || size > 15)) return NULL;
    *dc += read_value(bits, size);
    if (RARE(*dc > 1 << 20 || *dc < -(1 << 20))) return NULL;
    words[1] = (uint32_t)*dc;
    words += 2;
    while (place < 63) {
        fill(bits);
        const Pair pair = ac->pairs[bits->buffer >> (64 - LOOK)];
        if (RARE(pair.lengths == 0)) {
            int symbol = read_symbol(bits, ac);
            if (symbol < 0) return NULL;
            place += (symbol & 15) ? (unsigned)(symbol >> 4) + 1 : symbol >> 4 == 15 ? 16 : END;
            *words = word_of(read_value(bits, symbol & 15), place & 63);
            words += component->keep[place];
            continue;
        }
        const unsigned first = place + pair.first_step;
        *words = word_of(pair.first, first);
        words += component->keep[first];
        if (first >= 63) {
            drop(bits, pair.lengths & 15);
            place = first;
            break;
        }
        drop(bits, pair.lengths >> 4);
        place += pair.both_step;
        *words = word_of(pair.second, place & 63);
        words += component->keep[place] & pair.has_second;
    }
    if (RARE(place > 63 && place < END)) return NULL;
    *head = (uint32_t)(words - head) - 2;
    return words;
}

static int make_room(Part *part)
{
    Py_ssize_t used = part->groups[part->count].word;
    if (part->count + 2 > part->group_room) {
        Py_ssize_t room = part->group_room * 2;
        Group *groups = realloc(part->groups, (size_t)room * sizeof(Group));
        if (groups == NULL) return -1;
        part->groups = groups, part->group_room = room;
    }
    if (used + MOST_BLOCKS * 67 > part->word_room) {
        Py_ssize_t room = part->word_room * 2;
        uint32_t *words = room > MOST_WORDS ? NULL : realloc(part->words, (size_t)room * 4);
        if (words == NULL) return -1;
        part->words = words, part->word_room = room;
    }
    return 0;
}

/* Moves on to what follows a restart marker. */
static int restart(const Scan *scan, Bits *bits, int32_t *dc, Py_ssize_t index)
{
    uint32_t before = place_of(scan, bits), to;
    if (index > scan->restart_count) return -1;
    to = (uint32_t)scan->restarts[index - 1] * 8;
    if (to < before || to - before > 7) return -1;
    *bits = bits_at(scan, to);
    memset(dc, 0, sizeof(int32_t) * MOST_COMPONENTS);
    return 0;
}

/* Decodes groups into an empty part, whose first Group says where from: `most` of them, or up to the first that begins
   at or after `stop`, or up to the first that begins where one of `next` does. A guess starts again after an error. */
static void decode_groups(Part *part, Py_ssize_t most, uint32_t stop, const Part *next, int is_guess)
{
    const Scan *scan = part->scan;
    const uint8_t *last = scan->bytes + scan->length + 8;
    Bits bits = bits_at(scan, part->groups[0].bit);
    int32_t dc[MOST_COMPONENTS];
    Py_ssize_t other = 0;
    memcpy(dc, part->groups[0].dc, sizeof dc);
    for (;;) {
        Group *group = part->groups + part->count;
        if (scan->interval && part->count && part->count % scan->interval == 0 && part->count < most
            && restart(scan, &bits, dc, part->count / scan->interval) != 0)
            break;
        group->bit = place_of(scan, &bits);
        memcpy(group->dc, dc, sizeof dc);
        if (next != NULL) {
            while (other <= next->count && next->groups[other].bit < group->bit) other++;
            if (other < next->count && next->groups[other].bit == group->bit) {
                part->is_met = 1, part->met = other;
                return;
            }
        }
        if (part->count == most || group->bit >= stop) return;
        if (make_room(part) != 0) break;
        group = part->groups + part->count; /* it may have moved */
        uint32_t *words = part->words + group->word;
        for (int block = 0; block < scan->blocks && words != NULL; block++) {
            int which = scan->component_of[block];
            words = bits.at > last ? NULL : read_block(&bits, &scan->components[which], &dc[which], words);
        }
        if (words == NULL) {
            if (!is_guess || bits.at > last) break;
            bits = bits_at(scan, group->bit + 1);
            memset(dc, 0, sizeof dc);
            part->count = 0, part->groups[0].word = 0;
            continue;
        }
        part->count++;
        part->groups[part->count].word = (uint32_t)(words - part->words);
    }
    part->is_bad = 1;
}

static void free_part(Part *part)
{
    if (part == NULL) return;
    free(part->groups), free(part->words), free(part);
}

static Part *new_part(const Scan *scan, uint32_t bit, const int32_t *dc)
{
    Part *part = calloc(1, sizeof(Part));
    if (part == NULL) return NULL;
    part->scan = scan, part->group_room = 1024, part->word_room = 1 << 16;
    part->groups = calloc((size_t)part->group_room, sizeof(Group));
    part->words = malloc((size_t)part->word_room * 4);
    if (part->groups == NULL || part->words == NULL) {
        free_part(part);
        return NULL;
    }
    part->groups[0].bit = bit;
    if (dc != NULL) memcpy(part->groups[0].dc, dc, sizeof part->groups[0].dc);
    return part;
}

/* ---- the scan: tables and bytes ---- */

/* `given`: 16 counts of codes by length, then the symbols (T.81, B.2.4.2). */
static int build_codes(Huffman *table, const uint8_t *given, Py_ssize_t length)
{
    int32_t code = 0, place = 0;
    memset(table, 0, sizeof *table);
    if (length < 16 || length > 16 + 256) return -1;
    memcpy(table->symbols, given + 16, (size_t)length - 16);
    for (int bits = 1; bits <= 16; bits++, code <<= 1) {
        int count = given[bits - 1];
        if (place + count > length - 16 || code + count > 1 << bits) return -1;
        table->begins[bits] = code, table->ends[bits] = code + count, table->places[bits] = place;
        for (; count; count--, code++, place++)
            for (int rest = 0; bits <= LOOK && rest < 1 << (LOOK - bits); rest++)
                table->codes[code << (LOOK - bits) | rest] = (uint16_t)(bits << 8 | table->symbols[place]);
    }
    return place == length - 16 ? 0 : -1;
}

/* The symbol and value that `bits`, LOOK of which `known` are, begin with: how many bits they take, 0 if that is more. */
static int whole_symbol(const Huffman *table, unsigned bits, int known, int *step, int *value)
{
    unsigned entry = table->codes[bits & ((1 << LOOK) - 1)];
    int size = entry & 15, run = (entry >> 4) & 15, length = (int)(entry >> 8) + size;
    if (entry == 0 || length > known) return 0;
    *value = value_of((bits & ((1 << LOOK) - 1)) >> (LOOK - length) & ((1u << size) - 1), size);
    *step = size ? run + 1 : run == 15 ? 16 : END;
    return length;
}

static void build_pairs(Huffman *table)
{
    for (unsigned bits = 0; bits < 1 << LOOK; bits++) {
        Pair *pair = table->pairs + bits;
        int step = 0, value = 0, length = whole_symbol(table, bits, LOOK, &step, &value), more;
        if (length == 0) continue;
        pair->lengths = (uint8_t)(length | length << 4);
        pair->first_step = pair->both_step = (uint8_t)step, pair->first = (int16_t)value;
        if (step == END) continue;
        more = whole_symbol(table, bits << length, LOOK - length, &step, &value);
        if (more == 0) continue;
        pair->lengths = (uint8_t)(length | (length + more) << 4);
        pair->both_step = (uint8_t)(pair->first_step + step);
        pair->second = (int16_t)value, pair->has_second = 1;
    }
}

/* The entropy-coded bytes up to the end of the image, without the zeros after 255; where restarts begin. */
static int unstuff(Scan *scan, const uint8_t *from, Py_ssize_t length)
{
    Py_ssize_t most = scan->interval ? (scan->groups - 1) / scan->interval : 0;
    uint8_t *to = malloc((size_t)length + PADDING);
    scan->bytes = to;
    scan->restarts = malloc((size_t)(most + 1) * sizeof(Py_ssize_t));
    if (to == NULL || scan->restarts == NULL) return -1;
    for (Py_ssize_t at = 0; at < length;) {
        const uint8_t *found = memchr(from + at, 0xFF, (size_t)(length - at));
        Py_ssize_t count = (found ? found - from : length) - at;
        memcpy(to, from + at, (size_t)count);
        to += count, at += count;
        if (found == NULL || at + 1 >= length) return -1;
        if (from[at + 1] == 0) {
            *to++ = 0xFF, at += 2;
        } else if (from[at + 1] == 0xD0 + (scan->restart_count & 7) && scan->restart_count < most) {
            scan->restarts[scan->restart_count++] = to - scan->bytes;
            at += 2;
        } else if (from[at + 1] == 0xD9) {
            scan->length = to - scan->bytes;
            memset(to, 0, PADDING);
            return scan->length && scan->restart_count == most ? 0 : -1;
        } else
            return -1;
    }
    return -1;
}

static void free_scan(Scan *scan)
{
    if (scan == NULL) return;
    free(scan->bytes), free(scan->restarts), free(scan);
}

/* ---- the resize ---- */

/* Rows of the result are made eight at a time, two such bands in turns: row r in band r / 8 % 2, lane r % 8. */
#define LANES 8
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
    const Part *part;
    Py_ssize_t first, count;
    int32_t dc[MOST_COMPONENTS];
} Stretch;

/* A whole picture: stretches of parts one after another. */
typedef struct {
    const Scan *scan;
    Stretch *stretches;
    Part **bridges;
    Py_ssize_t count;
    PyObject *parts; /* keeps them */
} Joined;

typedef struct {
    const uint32_t *words;
    int32_t dc;
} Block;

/* What one block adds to one band, or to both. */
INLINE void add_words(Lanes *const *sums, const Lanes *const *weights, int bands, const float *quantization, const Block *block)
{
    const uint32_t *word = block->words + 2, *end = word + block->words[0];
    float value = (float)block->dc * quantization[0];
    for (int band = 0; band < bands; band++) *sums[band] += value * *weights[band];
    for (; word < end; word++) {
        unsigned order = *word & 63, row = ZIGZAG[order] >> 3, column = ZIGZAG[order] & 7;
        value = (float)((int32_t)*word >> 16) * quantization[order];
        for (int band = 0; band < bands; band++) sums[band][column] += value * weights[band][row];
    }
}

INLINE void add_blocks(float *const *sums, const float *const *weights, int bands, const Axes *axes,
                       const Component *component, Block *const *blocks, Py_ssize_t columns)
{
    for (Py_ssize_t column = 0; column < columns; column++)
        for (int block = 0; block < component->across; block++) {
            Py_ssize_t x = column * component->across + block;
            Lanes *to[2] = {(Lanes *)sums[0] + x * 8, bands > 1 ? (Lanes *)sums[1] + x * 8 : NULL};
            if (x >= axes->first_column && x < axes->last_column)
                add_words(to, (const Lanes *const *)weights, bands, axes->quantization, blocks[block] + column);
        }
}

FOR_EACH_PROCESSOR
static void add_block_row(float *const *sums, const Axes *axes, const Component *component, Block *const *blocks,
                          Py_ssize_t columns, Py_ssize_t row)
{
    float *to[2];
    const float *weights[2];
    int bands = 0;
    for (int band = 0; band < 2; band++) {
        const float *of = axes->down + (row * 2 + band) * 8 * LANES;
        int is_used = 0;
        for (int at = 0; at < 8 * LANES; at++) is_used |= of[at] != 0;
        if (is_used) to[bands] = sums[band], weights[bands++] = of;
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
static void list_blocks(const Joined *joined, Py_ssize_t *stretch, Py_ssize_t *group, Block *const *blocks, Py_ssize_t columns)
{
    const Scan *scan = joined->scan;
    for (Py_ssize_t column = 0; column < columns; column++, ++*group) {
        const Stretch *in;
        const uint32_t *words;
        while (*group >= joined->stretches[*stretch].count) ++*stretch, *group = 0;
        in = joined->stretches + *stretch;
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
static int gather_rows(const Joined *joined, const Axes *axes, int components, float *planes, Py_ssize_t height,
                       Py_ssize_t width, Py_ssize_t first, Py_ssize_t last)
{
    const Scan *scan = joined->scan;
    const Py_ssize_t columns = scan->columns;
    Py_ssize_t low = PY_SSIZE_T_MAX, high = 0, bands[MOST_COMPONENTS] = {0}, stretch = 0, group;
    float *sums[MOST_COMPONENTS][2] = {{0}};
    Block *blocks[MOST_BLOCKS] = {0}, *room;
    int is_wrong = 0;
    for (int which = 0; which < components; which++) {
        Py_ssize_t from = axes[which].first_blocks[first] / scan->components[which].down;
        Py_ssize_t to = axes[which].last_blocks[last - 1] / scan->components[which].down;
        low = from < low ? from : low, high = to > high ? to : high;
        for (int band = 0; band < 2; band++) {
            sums[which][band] = calloc((size_t)axes[which].block_columns * 8, sizeof(Lanes));
            is_wrong |= sums[which][band] == NULL;
        }
    }
    /* The bands before `first` that are not done when it begins are begun, too, and emptied in their turn. */
    for (int which = 0; which < components; which++)
        while (end_of(axes + which, bands[which], last) < low * scan->components[which].down) bands[which]++;
    room = malloc((size_t)(columns * scan->blocks) * sizeof(Block));
    is_wrong |= room == NULL;
    for (int block = 0; block < scan->blocks && !is_wrong; block++) blocks[block] = room + block * columns;
    for (group = low * columns; !is_wrong && group >= joined->stretches[stretch].count; stretch++)
        group -= joined->stretches[stretch].count;
    for (Py_ssize_t groups = low; !is_wrong && groups <= high; groups++) {
        Block *const *of = blocks;
        list_blocks(joined, &stretch, &group, blocks, columns);
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
    for (int which = 0; which < components; which++) free(sums[which][0]), free(sums[which][1]);
    free(room);
    return is_wrong ? -1 : 0;
}

/* ---- parts to a whole ---- */

static void free_joined(Joined *joined)
{
    if (joined == NULL) return;
    for (Py_ssize_t at = 0; joined->bridges != NULL && at < joined->count; at++) free_part(joined->bridges[at]);
    free(joined->bridges), free(joined->stretches), free(joined);
}

/* Takes groups of a part from `first` on, with what its DC values are short of; at most those that are missing. */
static Py_ssize_t take(Joined *joined, const Part *part, Py_ssize_t first, const int32_t *dc, Py_ssize_t missing)
{
    Stretch *stretch = joined->stretches + joined->count++;
    stretch->part = part, stretch->first = first;
    stretch->count = part->count - first < missing ? part->count - first : missing;
    memcpy(stretch->dc, dc, sizeof stretch->dc);
    return stretch->count;
}

/* Whether the parts are one picture, no bit more or less. */
static int join_parts(Joined *joined, const Part **parts, Py_ssize_t count)
{
    const Scan *scan = joined->scan;
    int32_t dc[MOST_COMPONENTS] = {0};
    Py_ssize_t missing = scan->groups, first = 0, at = 0;
    const Stretch *last;
    uint32_t end;
    for (;;) {
        const Part *part = parts[at];
        Part *bridge;
        missing -= take(joined, part, first, dc, missing);
        if (missing == 0) break;
        if (++at == count || (at == 1 && part->is_bad)) return 0;
        for (int which = 0; which < MOST_COMPONENTS; which++) dc[which] += part->groups[part->count].dc[which];
        if (part->groups[part->count].bit > (uint32_t)scan->length * 8) return 0;
        bridge = new_part(scan, part->groups[part->count].bit, dc);
        joined->bridges[joined->count] = bridge;
        if (bridge == NULL) return 0;
        decode_groups(bridge, missing, UINT32_MAX, parts[at], 0);
        if (bridge->is_bad) return 0;
        memset(dc, 0, sizeof dc);
        missing -= take(joined, bridge, 0, dc, missing);
        if (missing == 0) break;
        first = bridge->met;
        for (int which = 0; which < MOST_COMPONENTS; which++)
            dc[which] = bridge->groups[bridge->count].dc[which] - parts[at]->groups[first].dc[which];
    }
    last = joined->stretches + joined->count - 1;
    end = last->part->groups[last->first + last->count].bit;
    return end <= (uint32_t)scan->length * 8 && (uint32_t)scan->length * 8 - end < 8;
}

/* ---- arguments ---- */

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
    (void)module;
    if (!PyArg_ParseTuple(arguments, "Onn:decode", &capsule, &index, &count)) return NULL;
    if ((given = PyCapsule_GetPointer(capsule, SCAN)) == NULL) return NULL;
    if (count < 1 || count > MOST_PARTS || index < 0 || index >= count) return refuse("decode: no such part");
    if (given->interval && count > 1) return refuse("decode: with restarts there is one part");
    Py_BEGIN_ALLOW_THREADS
    part = new_part(given, (uint32_t)(given->length * index / count * 8), NULL);
    if (part != NULL) {
        uint32_t stop = index + 1 < count ? (uint32_t)(given->length * (index + 1) / count * 8) : UINT32_MAX;
        decode_groups(part, given->groups, stop, NULL, index > 0);
    }
    Py_END_ALLOW_THREADS
    if (part == NULL) return PyErr_NoMemory();
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
    Py_BEGIN_ALLOW_THREADS
    is_whole = join_parts(joined, given, count);
    Py_END_ALLOW_THREADS
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

#define VIEWS 6
static int gather_views(const Joined *joined, PyObject *given, const Py_buffer *out, Py_ssize_t first, Py_ssize_t last)
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
            Py_END_ALLOW_THREADS
            if (status != 0) PyErr_NoMemory();
        }
    }
    while (held) PyBuffer_Release(views + --held);
    return status;
}

static PyObject *gather(PyObject *module, PyObject *arguments)
{
    PyObject *capsule, *to, *given;
    Py_ssize_t first, last;
    Py_buffer out;
    const Joined *joined;
    int status;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "OOnnO!:gather", &capsule, &to, &first, &last, &PyTuple_Type, &given)) return NULL;
    if ((joined = PyCapsule_GetPointer(capsule, JOINED)) == NULL) return NULL;
    if (PyObject_GetBuffer(to, &out, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE) != 0) return NULL;
    status = gather_views(joined, given, &out, first, last);
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
     "gather(joined, out, first, last, arrays)\n\n"
     "Fill rows `first` to `last` of `out`, float32 (components, height, width). For each component, six arrays: weights\n"
     "down float32 (block rows, 2, 8, 8), first and last block row of each row of `out` int32 (height,), the first\n"
     "coefficient of each column int32 (width,), weights across float32 (width, taps), quantization float32 (64,)."},
    {NULL, NULL, 0, NULL}};

static PyModuleDef_Slot slots[] = {{0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_jpeg",
                                        "JPEG files to small pictures in C; jpeg.py is its only caller.", 0, methods, slots,
                                        NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__jpeg(void) { return PyModuleDef_Init(&definition); }
