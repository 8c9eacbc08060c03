/* What the last pictures took, for the next: from the system every page would have to be had anew. */

#define MOST_KEPT 20
#define LEAST_KEPT_BYTES (1 << 17) /* smaller pieces the C library keeps by itself */
#define MOST_KEPT_BYTES (1 << 23) /* of all together */
static struct {
    void *memory;
    size_t bytes;
} kept[MOST_KEPT];
static size_t kept_bytes;

/* At least `*bytes`, which are then how many there are. */
static void *take_memory(size_t *bytes)
{
    int best = -1;
    void *found = NULL;
    pthread_mutex_lock(&lock);
    for (int at = 0; at < MOST_KEPT; at++)
        if (kept[at].bytes >= *bytes && kept[at].bytes / 4 <= *bytes && (best < 0 || kept[at].bytes < kept[best].bytes)) best = at;
    if (best >= 0) found = kept[best].memory, *bytes = kept[best].bytes, kept_bytes -= *bytes, kept[best].bytes = 0;
    pthread_mutex_unlock(&lock);
    return found != NULL ? found : malloc(*bytes);
}

static void leave_memory(void *memory, size_t bytes)
{
    int least = 0;
    void *rest = memory;
    if (memory == NULL) return;
    pthread_mutex_lock(&lock);
    for (int at = 1; at < MOST_KEPT; at++)
        if (kept[at].bytes < kept[least].bytes) least = at;
    if (bytes >= LEAST_KEPT_BYTES && bytes > kept[least].bytes && kept_bytes - kept[least].bytes + bytes <= MOST_KEPT_BYTES) {
        rest = kept[least].bytes ? kept[least].memory : NULL;
        kept_bytes += bytes - kept[least].bytes;
        kept[least].memory = memory, kept[least].bytes = bytes;
    }
    pthread_mutex_unlock(&lock);
    free(rest);
}
