/* A scan decoded in parts, and the parts joined. */

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

static int make_room(Part *part)
{
    Py_ssize_t used = part->groups[part->count].word;
    if (part->count + 2 > part->group_room) {
        Py_ssize_t room = part->group_room * 2;
        Group *groups = realloc(part->groups, (size_t)room * sizeof(Group));
        if (groups == NULL) return -1;
        part->groups = groups, part->group_room = room;
    }
    if (used + MOST_BLOCKS * MOST_OF_BLOCK > part->word_room) {
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
    leave_memory(part->groups, (size_t)part->group_room * sizeof(Group));
    leave_memory(part->words, (size_t)part->word_room * 4);
    free(part);
}

/* With room for what `bytes` of the scan usually are. */
static Part *new_part(const Scan *scan, uint32_t bit, const int32_t *dc, Py_ssize_t bytes)
{
    Part *part = calloc(1, sizeof(Part));
    double share = (double)bytes / (double)scan->length;
    size_t groups = ((size_t)((double)scan->groups * share * 1.25) + 16) * sizeof(Group);
    size_t words = (size_t)bytes * 5 + 16384;
    if (part == NULL) return NULL;
    part->scan = scan;
    part->groups = take_memory(&groups), part->words = take_memory(&words);
    part->group_room = (Py_ssize_t)(groups / sizeof(Group)), part->word_room = (Py_ssize_t)(words / 4);
    if (part->groups != NULL) memset(part->groups, 0, sizeof(Group));
    if (part->groups == NULL || part->words == NULL) {
        free_part(part);
        return NULL;
    }
    part->groups[0].bit = bit;
    if (dc != NULL) memcpy(part->groups[0].dc, dc, sizeof part->groups[0].dc);
    return part;
}

typedef struct {
    const Part *part;
    Py_ssize_t first, count;
    int32_t dc[MOST_COMPONENTS];
} Stretch;

/* A whole picture: stretches one after another of its parts, and of bridges from each part to where the next is right. */
typedef struct {
    const Scan *scan;
    Part *parts[MOST_PARTS], *bridges[MOST_PARTS];
    Py_ssize_t part_count, stretch_count;
    Stretch stretches[MOST_PARTS * 2];
} Picture;

static void free_picture(Picture *picture)
{
    for (Py_ssize_t at = 0; at < MOST_PARTS; at++) free_part(picture->parts[at]), free_part(picture->bridges[at]);
}

/* -1 where there is no memory. */
static int make_parts(Picture *picture, const Scan *scan, Py_ssize_t count)
{
    picture->scan = scan, picture->part_count = count;
    for (Py_ssize_t at = 0; at < count; at++)
        if ((picture->parts[at] = new_part(scan, (uint32_t)(scan->length * at / count * 8), NULL, scan->length / count)) == NULL)
            return -1;
    return 0;
}

static void decode_part(void *context, Py_ssize_t index)
{
    Picture *picture = context;
    const Scan *scan = picture->scan;
    Py_ssize_t next = index + 1, count = picture->part_count;
    uint32_t stop = next < count ? (uint32_t)(scan->length * next / count * 8) : UINT32_MAX;
    decode_groups(picture->parts[index], scan->groups, stop, NULL, index > 0);
}

/* Takes groups of a part from `first` on, with what its DC values are short of; at most those that are missing. */
static Py_ssize_t take(Picture *picture, const Part *part, Py_ssize_t first, const int32_t *dc, Py_ssize_t missing)
{
    Stretch *stretch = picture->stretches + picture->stretch_count++;
    stretch->part = part, stretch->first = first;
    stretch->count = part->count - first < missing ? part->count - first : missing;
    memcpy(stretch->dc, dc, sizeof stretch->dc);
    return stretch->count;
}

/* Whether the parts are one picture, no bit more or less. */
static int join_parts(Picture *picture)
{
    const Scan *scan = picture->scan;
    int32_t dc[MOST_COMPONENTS] = {0};
    Py_ssize_t missing = scan->groups, first = 0, at = 0;
    const Stretch *last;
    uint32_t end;
    for (;;) {
        const Part *part = picture->parts[at], *to;
        Part *bridge;
        missing -= take(picture, part, first, dc, missing);
        if (missing == 0) break;
        if (++at == picture->part_count || (at == 1 && part->is_bad)) return 0;
        to = picture->parts[at];
        for (int which = 0; which < MOST_COMPONENTS; which++) dc[which] += part->groups[part->count].dc[which];
        if (part->groups[part->count].bit > (uint32_t)scan->length * 8) return 0;
        bridge = new_part(scan, part->groups[part->count].bit, dc, 0);
        picture->bridges[at] = bridge;
        if (bridge == NULL) return 0;
        decode_groups(bridge, missing, UINT32_MAX, to, 0);
        if (bridge->is_bad) return 0;
        memset(dc, 0, sizeof dc);
        missing -= take(picture, bridge, 0, dc, missing);
        if (missing == 0) break;
        first = bridge->met;
        for (int which = 0; which < MOST_COMPONENTS; which++)
            dc[which] = bridge->groups[bridge->count].dc[which] - to->groups[first].dc[which];
    }
    last = picture->stretches + picture->stretch_count - 1;
    end = last->part->groups[last->first + last->count].bit;
    return end <= (uint32_t)scan->length * 8 && (uint32_t)scan->length * 8 - end < 8;
}
