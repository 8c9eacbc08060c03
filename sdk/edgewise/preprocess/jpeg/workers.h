/* Threads that help to read pictures. They know nothing of Python, are made when first wanted, and sleep in between. */

#define MOST_WORKERS 15
#define MOST_SPINS 3000 /* looks at what comes next, up to a tenth of a millisecond, before a thread sleeps */

/* Pieces of work, 0 to `count`, which whoever is free takes one by one. */
typedef struct Job {
    void (*work)(void *context, Py_ssize_t index);
    void *context;
    Py_ssize_t count, next;
    int wanted, helping; /* workers that may still come, and those that are there */
    struct Job *later;
} Job;

/* Whatever pictures share, the kept memory too, is touched only with this lock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t come = PTHREAD_COND_INITIALIZER, gone = PTHREAD_COND_INITIALIZER;
static Job *jobs;
static int workers, wanted, expected; /* how many there are, are wanted by jobs, and pictures that will want some */

INLINE void pause_a_little(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb"); /* "yield" takes no time there */
#elif defined(__ARM_ARCH) && __ARM_ARCH >= 7
    __asm__ volatile("yield");
#endif
}

static void take_pieces(Job *job)
{
    for (;;) {
        Py_ssize_t index = __atomic_fetch_add(&job->next, 1, __ATOMIC_RELAXED);
        if (index >= job->count) return;
        job->work(job->context, index);
    }
}

static void *serve(void *nothing)
{
    int has_spun = 0;
    pthread_mutex_lock(&lock);
    for (;;) {
        Job *job = jobs;
        while (job != NULL && job->wanted == 0) job = job->later;
        if (job != NULL) {
            job->wanted--, job->helping++;
            __atomic_sub_fetch(&wanted, 1, __ATOMIC_RELAXED);
            pthread_mutex_unlock(&lock);
            take_pieces(job);
            pthread_mutex_lock(&lock);
            if (__atomic_sub_fetch(&job->helping, 1, __ATOMIC_RELAXED) == 0) pthread_cond_broadcast(&gone);
            has_spun = 0;
        } else if (expected && !has_spun) {
            pthread_mutex_unlock(&lock);
            for (int spin = 0; spin < MOST_SPINS && !__atomic_load_n(&wanted, __ATOMIC_RELAXED)
                 && __atomic_load_n(&expected, __ATOMIC_RELAXED); spin++)
                pause_a_little();
            pthread_mutex_lock(&lock);
            has_spun = 1;
        } else {
            pthread_cond_wait(&come, &lock);
            has_spun = 0;
        }
    }
    return nothing;
}

/* One more worker, to which no signals come: they are for the threads that know what to do with them. */
static int begin_worker(void)
{
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all, before;
    int status;
    if (pthread_attr_init(&attributes) != 0) return -1;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    status = pthread_create(&thread, &attributes, serve, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return status;
}

/* Says that there will be work for `threads`, the caller's among them, so that they are awake by then. */
static void expect_work(int threads)
{
    if (threads < 2) return;
    pthread_mutex_lock(&lock);
    while (workers < threads - 1 && workers < MOST_WORKERS && begin_worker() == 0) workers++;
    __atomic_add_fetch(&expected, 1, __ATOMIC_RELAXED);
    pthread_cond_broadcast(&come);
    pthread_mutex_unlock(&lock);
}

static void expect_no_more(int threads)
{
    if (threads < 2) return;
    pthread_mutex_lock(&lock);
    __atomic_sub_fetch(&expected, 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&lock);
}

/* Does all pieces, in this thread and as many workers as are free; each sees what was written before. */
static void side_by_side(void (*work)(void *, Py_ssize_t), void *context, Py_ssize_t count, int threads)
{
    Job job = {work, context, count, 0, count < threads ? (int)count - 1 : threads - 1, 0, NULL}, **at = &jobs;
    int has_spun = 0;
    if (job.wanted > 0) {
        pthread_mutex_lock(&lock);
        job.later = jobs, jobs = &job;
        __atomic_add_fetch(&wanted, job.wanted, __ATOMIC_RELAXED);
        pthread_cond_broadcast(&come);
        pthread_mutex_unlock(&lock);
    }
    take_pieces(&job);
    if (count < 2 || threads < 2) return;
    pthread_mutex_lock(&lock);
    __atomic_sub_fetch(&wanted, job.wanted, __ATOMIC_RELAXED);
    while (*at != &job) at = &(*at)->later;
    *at = job.later;
    while (job.helping) {
        if (has_spun) {
            pthread_cond_wait(&gone, &lock);
        } else {
            pthread_mutex_unlock(&lock);
            for (int spin = 0; spin < MOST_SPINS && __atomic_load_n(&job.helping, __ATOMIC_RELAXED); spin++) pause_a_little();
            pthread_mutex_lock(&lock);
            has_spun = 1;
        }
    }
    pthread_mutex_unlock(&lock);
}

static void before_fork(void) { pthread_mutex_lock(&lock); }

static void after_fork(void) { pthread_mutex_unlock(&lock); }

/* There is only the thread that forked, and it was reading nothing. */
static void after_fork_in_child(void)
{
    jobs = NULL, workers = 0, wanted = 0, expected = 0;
    pthread_cond_init(&come, NULL);
    pthread_cond_init(&gone, NULL);
    pthread_mutex_unlock(&lock);
}
