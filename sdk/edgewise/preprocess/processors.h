/* What the code in C asks of compilers, beyond C99. */

/* Two versions of a loop, chosen when the module is loaded. It takes the GNU loader; gcc and clang define it so. */
#if defined(__x86_64__) && defined(__GLIBC__) && (!defined(__clang__) || __clang_major__ >= 14)
#define FOR_EACH_PROCESSOR __attribute__((target_clones("avx2", "default")))
#else
#define FOR_EACH_PROCESSOR
#endif
#define INLINE static inline __attribute__((always_inline))
