/* An external delegate of TensorFlow Lite that computes NEG of float32, and can fail in every way a real one does.
 *
 * The option "fails" says how: create (NULL, with a report), abort, prepare, invoke, wrong (answers one too much),
 * nothing (claims no operator). The declarations are those of tensorflow/lite/core/c/common.h and
 * delegates/external/external_delegate_interface.h, as far as they are used; what is passed by value is padded.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, ERROR = 1, NEG = 59, DELEGATE = 51, MAX_NODES = 1000 };

typedef struct { int size; int data[]; } IntArray;

typedef struct { /* TfLiteTensor */
    int type;
    union { float *f; } data;
    IntArray *dims;
    struct { float scale; int32_t zero_point; } params;
    int allocation_type;
    size_t bytes;
    const void *allocation, *name, *delegate;
    int buffer_handle;
    _Bool is_stale, is_variable;
    struct { int type; void *params; } quantization;
    void *sparsity, *dims_signature;
} Tensor;

typedef struct { IntArray *inputs, *outputs, *intermediates, *temporaries; void *user_data; } Node;

struct Context;

typedef struct { /* TfLiteRegistration, with room for what later versions add */
    void *(*init)(struct Context *, const char *, size_t);
    void (*free)(struct Context *, void *);
    int (*prepare)(struct Context *, Node *);
    int (*invoke)(struct Context *, Node *);
    const char *(*profiling_string)(const struct Context *, const Node *);
    int32_t builtin_code;
    const char *custom_name;
    int version;
    void *later[5];
} Registration;

typedef struct Delegate {
    void *data;
    int (*prepare)(struct Context *, struct Delegate *);
    void *copy_from, *copy_to, *free_buffer;
    int64_t flags;
    void *opaque_builder;
} Delegate;

typedef struct Context {
    size_t tensors_size;
    int (*get_execution_plan)(struct Context *, IntArray **);
    Tensor *tensors;
    void *impl;
    int (*resize_tensor)(struct Context *, Tensor *, IntArray *);
    void (*report_error)(struct Context *, const char *, ...);
    int (*add_tensors)(struct Context *, int, int *);
    int (*get_node)(struct Context *, int, Node **, Registration **);
    int (*replace)(struct Context *, Registration, const IntArray *, Delegate *);
    /* and more, that is not used here */
} Context;

typedef struct { /* TfLiteDelegateParams */
    Delegate *delegate;
    IntArray *nodes, *inputs, *outputs;
} Part;

typedef struct { int is_odd, is_wrong, fails; } Kernel;

static const char *fails = "";
static char kept[32];

/* A part is a chain of NEG. */
static void *init(Context *context, const char *buffer, size_t length) {
    (void)context; (void)length;
    Kernel *kernel = calloc(1, sizeof *kernel);
    kernel->is_odd = ((const Part *)buffer)->nodes->size % 2;
    kernel->is_wrong = !strcmp(fails, "wrong");
    kernel->fails = !strcmp(fails, "invoke");
    return kernel;
}

static void release(Context *context, void *kernel) { (void)context; free(kernel); }

static int prepare(Context *context, Node *node) {
    const Tensor *in = &context->tensors[node->inputs->data[0]];
    Tensor *out = &context->tensors[node->outputs->data[0]];
    IntArray *size = malloc(sizeof *size + in->dims->size * sizeof(int));
    memcpy(size, in->dims, sizeof *size + in->dims->size * sizeof(int));
    return context->resize_tensor(context, out, size);
}

static int invoke(Context *context, Node *node) {
    const Kernel *kernel = node->user_data;
    const Tensor *in = &context->tensors[node->inputs->data[0]];
    Tensor *out = &context->tensors[node->outputs->data[0]];
    if (kernel->fails) return ERROR;
    for (size_t i = 0; i < in->bytes / sizeof(float); i++)
        out->data.f[i] = (kernel->is_odd ? -in->data.f[i] : in->data.f[i]) + (float)kernel->is_wrong;
    return OK;
}

static int claim(Context *context, Delegate *delegate) {
    IntArray *plan, *claimed = calloc(1, sizeof *claimed + MAX_NODES * sizeof(int));
    if (!strcmp(fails, "prepare")) { free(claimed); return ERROR; }
    if (context->get_execution_plan(context, &plan) != OK) { free(claimed); return ERROR; }
    for (int i = 0; i < plan->size && i < MAX_NODES && strcmp(fails, "nothing"); i++) {
        Node *node;
        Registration *registration;
        context->get_node(context, plan->data[i], &node, &registration);
        if (registration->builtin_code == NEG) claimed->data[claimed->size++] = plan->data[i];
    }
    Registration kernel = {init, release, prepare, invoke, NULL, DELEGATE, "TestNegDelegate", 1, {0}};
    int status = context->replace(context, kernel, claimed, delegate);
    free(claimed);
    return status;
}

Delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *)) {
    fails = "";
    for (size_t i = 0; i < count; i++) {
        if (strcmp(keys[i], "fails")) { report("unknown option"); return NULL; }
        fails = strncpy(kept, values[i], sizeof kept - 1);
    }
    if (!strcmp(fails, "abort")) abort();
    if (!strcmp(fails, "create")) { report("no such device on the bus"); return NULL; }
    Delegate *delegate = calloc(1, sizeof *delegate);
    delegate->prepare = claim;
    return delegate;
}

void tflite_plugin_destroy_delegate(Delegate *delegate) { free(delegate); }
