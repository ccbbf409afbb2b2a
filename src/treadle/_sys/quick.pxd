"""Methods of ours that the interpreter reaches without Cython's unpacking of arguments.

The descriptor, its documentation and its signature stay; only the C function behind it changes. Calls
of any other form than the frequent one go to the function that was there.
"""

cdef extern from *:
    """
    typedef PyObject *(*treadle_soon)(PyObject *, PyObject *, PyObject *, PyObject *);
    typedef PyObject *(*treadle_one)(PyObject *, PyObject *, PyObject *);
    typedef PyObject *(*treadle_general)(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);

    static PyMethodDef *treadle_definition_of(PyObject *method) {
        PyMethodDef *found = ((PyMethodDescrObject *)method)->d_method;
        if (!Py_IS_TYPE(method, &PyMethodDescr_Type)
                || found->ml_flags != (METH_FASTCALL | METH_KEYWORDS)) {
            return NULL;  /* compiled in some other way: it stays as it is */
        }
        return found;
    }

    /* method(callback, *args) and method(callback, *args, context=context) */
    static treadle_soon treadle_soon_by = NULL;
    static treadle_general treadle_soon_before = NULL;
    static PyObject *treadle_context_word = NULL;
    static PyObject *treadle_context_words = NULL;  /* those of asyncio, whose word is not interned */

    static int treadle_are_context(PyObject *words) {
        PyObject *word;
        if (words == treadle_context_words) {
            return 1;
        }
        if (PyTuple_GET_SIZE(words) != 1) {
            return 0;
        }
        word = PyTuple_GET_ITEM(words, 0);
        if (word == treadle_context_word) {
            return 1;
        }
        if (PyUnicode_CompareWithASCIIString(word, "context") != 0) {
            return 0;
        }
        Py_XSETREF(treadle_context_words, Py_NewRef(words));
        return 1;
    }
    static PyObject *treadle_quick_soon(
            PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *words) {
        PyObject *context = Py_None, *rest, *handle;
        Py_ssize_t i;
        if (count < 1 || (words != NULL && !treadle_are_context(words))) {
            return treadle_soon_before(self, args, count, words);
        }
        if (words != NULL) {
            context = args[count];
        }
        rest = PyTuple_New(count - 1);
        if (rest == NULL) {
            return NULL;
        }
        for (i = 1; i < count; i++) {
            PyTuple_SET_ITEM(rest, i - 1, Py_NewRef(args[i]));
        }
        handle = treadle_soon_by(self, args[0], rest, context);
        Py_DECREF(rest);
        return handle;
    }
    static int treadle_quicken_soon(PyObject *method, treadle_soon by) {
        PyMethodDef *found = treadle_definition_of(method);
        if (found == NULL || treadle_soon_by != NULL) {
            return 0;
        }
        treadle_context_word = PyUnicode_InternFromString("context");
        if (treadle_context_word == NULL) {
            return -1;
        }
        treadle_soon_by = by;
        treadle_soon_before = (treadle_general)(void (*)(void))found->ml_meth;
        found->ml_meth = (PyCFunction)(void (*)(void))treadle_quick_soon;
        return 0;
    }

    /* method(argument); one C function for each method, since it is not told which one was called */
    enum { TREADLE_QUICK = 2 };
    static treadle_one treadle_one_by = NULL;
    static PyObject *treadle_quick_objects[TREADLE_QUICK];  /* owned, for ever */
    static treadle_general treadle_one_before[TREADLE_QUICK];
    static int treadle_quick_count = 0;

    #define TREADLE_QUICK_ONE(N) \\
        static PyObject *treadle_quick_##N( \\
                PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *words) { \\
            return count == 1 && words == NULL \\
                ? treadle_one_by(treadle_quick_objects[N], self, args[0]) \\
                : treadle_one_before[N](self, args, count, words); \\
        }
    TREADLE_QUICK_ONE(0)
    TREADLE_QUICK_ONE(1)
    static const treadle_general treadle_quick_ones[TREADLE_QUICK] = {
        treadle_quick_0, treadle_quick_1};

    static void treadle_quicken_one(PyObject *method, PyObject *object, treadle_one by) {
        PyMethodDef *found = treadle_definition_of(method);
        int n = treadle_quick_count;
        if (found == NULL || n == TREADLE_QUICK) {
            return;
        }
        treadle_quick_count++;
        treadle_one_by = by;
        treadle_quick_objects[n] = Py_NewRef(object);
        treadle_one_before[n] = (treadle_general)(void (*)(void))found->ml_meth;
        found->ml_meth = (PyCFunction)(void (*)(void))treadle_quick_ones[n];
    }

    static PyObject *treadle_copy_method(PyObject *kind, PyObject *method) {
        return PyDescr_NewMethod((PyTypeObject *)kind, ((PyMethodDescrObject *)method)->d_method);
    }
    """
    ctypedef object (*Soon "treadle_soon")(object owner, object callback, object args, object context)
    ctypedef object (*One "treadle_one")(object quick, object owner, object argument)
    int quicken_soon "treadle_quicken_soon" (object method, Soon by) except -1
    void quicken_one "treadle_quicken_one" (object method, object quick, One by) noexcept
    object copy_method "treadle_copy_method" (object kind, object method)
