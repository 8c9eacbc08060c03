/* The entropy-coded bits of a scan: its bytes, its Huffman tables, and the blocks that they say. */

#define LOOK 11 /* bits that one look into a table decides; more would not stay in the first cache */
#define END 128 /* what "no more in this block" adds to the place in the block: beyond all places */
#define TOGETHER 4 /* words are counted in fours, so that loops over them end as foreseen; those that are none are zero */
#define MOST_OF_BLOCK (2 + 64 + TOGETHER)
#define MOST_BLOCKS 10 /* of a group (T.81, B.2.3) */
#define MOST_COMPONENTS 3
/* Beyond the data, for reading whole words; one block takes at most 64 symbols of 31 bits. */
#define PADDING 512
#define MOST_BYTES (1 << 26)
#define MOST_PARTS 16
#define MOST_GROUPS (1 << 22)
#define MOST_WORDS (1 << 25) /* of decoded symbols, in a part */
#define MOST_SIDE (1 << 14)

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

/* A symbol of a DC table with its value, as far as LOOK bits show it whole; of more, a length of 0. */
typedef struct {
    int16_t value;
    uint8_t length;
} Difference;

typedef struct {
    Pair pairs[1 << LOOK]; /* of an AC table */
    Difference differences[1 << LOOK]; /* of a DC table */
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
    size_t room;
    Py_ssize_t length, *restarts, restart_count;
    Py_ssize_t interval; /* groups of blocks between restarts, 0 for none */
    Py_ssize_t groups, columns; /* of blocks: in all, and side by side */
    int component_count, blocks;
    Component components[MOST_COMPONENTS];
    uint8_t component_of[MOST_BLOCKS];
    Huffman tables[4];
} Scan;

typedef struct {
    const uint8_t *at;
    uint64_t buffer;
    int count;
} Bits;

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

/* One or two symbols: their words, the place after them, and where the words end; NULL where there is no such code. */
INLINE uint32_t *look(Bits *bits, const Component *component, uint32_t *words, unsigned *place)
{
    const Pair pair = component->ac->pairs[bits->buffer >> (64 - LOOK)];
    if (RARE(pair.lengths == 0)) {
        int symbol = read_symbol(bits, component->ac);
        if (symbol < 0) return NULL;
        *place += (symbol & 15) ? (unsigned)(symbol >> 4) + 1 : symbol >> 4 == 15 ? 16 : END;
        *words = word_of(read_value(bits, symbol & 15), *place & 63);
        fill(bits);
        return words + component->keep[*place];
    }
    const unsigned first = *place + pair.first_step;
    *words = word_of(pair.first, first);
    words += component->keep[first];
    if (first >= 63) {
        drop(bits, pair.lengths & 15);
        *place = first;
        return words;
    }
    drop(bits, pair.lengths >> 4);
    *place += pair.both_step;
    *words = word_of(pair.second, *place & 63);
    return words + (component->keep[*place] & pair.has_second);
}

/* Writes one block's words, at most MOST_OF_BLOCK, and returns where they end; NULL for what no encoder writes. */
INLINE uint32_t *read_block(Bits *bits, const Component *component, int32_t *dc, uint32_t *words)
{
    uint32_t *head = words;
    unsigned place = 0;
    fill(bits);
    const Difference whole = component->dc->differences[bits->buffer >> (64 - LOOK)];
    if (RARE(whole.length == 0)) {
        int size = read_symbol(bits, component->dc);
        if (size < 0 || size > 15) return NULL;
        *dc += read_value(bits, size);
    } else {
        drop(bits, whole.length);
        *dc += whole.value;
    }
    if (RARE(*dc > 1 << 20 || *dc < -(1 << 20))) return NULL;
    words[1] = (uint32_t)*dc;
    words += 2;
    while (place < 63) {
        fill(bits);
        /* A look takes LOOK bits at most, and a symbol that is read slowly 31: three looks for what was filled in once. */
        if ((words = look(bits, component, words, &place)) == NULL) return NULL;
        if (place >= 63) break;
        if ((words = look(bits, component, words, &place)) == NULL) return NULL;
        if (place >= 63) break;
        if ((words = look(bits, component, words, &place)) == NULL) return NULL;
    }
    if (RARE(place > 63 && place < END)) return NULL;
    memset(words, 0, sizeof *words * (TOGETHER - 1));
    *head = ((uint32_t)(words - head) - 2 + TOGETHER - 1) / TOGETHER * TOGETHER;
    return head + 2 + *head;
}

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

static void build_differences(Huffman *table)
{
    for (unsigned bits = 0; bits < 1 << LOOK; bits++) {
        int step, value = 0;
        if ((table->codes[bits] & 255) > 15) continue;
        table->differences[bits].length = (uint8_t)whole_symbol(table, bits, LOOK, &step, &value);
        table->differences[bits].value = (int16_t)value;
    }
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
    uint8_t *to;
    scan->room = (size_t)length + PADDING;
    scan->bytes = to = take_memory(&scan->room);
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
    leave_memory(scan->bytes, scan->room);
    free(scan->restarts);
}
