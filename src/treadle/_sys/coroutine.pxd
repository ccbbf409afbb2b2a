"""How the interpreter steps what is awaited, and how that answers."""

from cpython.object cimport PyObject, PyTypeObject


cdef extern from *:
    """
    /* Raise StopIteration with an answer; no exception at all says None. */
    static inline void treadle_answer_by_exception(PyObject *answer) {
        if (answer == Py_None) {
            return;
        }
        if (PyTuple_Check(answer) || PyExceptionInstance_Check(answer)) {
            PyObject *exc = PyObject_CallOneArg(PyExc_StopIteration, answer);
            if (exc != NULL) {
                PyErr_SetObject(PyExc_StopIteration, exc);
                Py_DECREF(exc);
            }
            return;
        }
        PyErr_SetObject(PyExc_StopIteration, answer);
    }
    static inline void treadle_set_steps(PyTypeObject *kind, void *next, void *send) {
        kind->tp_iternext = (iternextfunc)next;
        if (kind->tp_as_async != NULL) {
            kind->tp_as_async->am_send = (sendfunc)send;
        }
        PyType_Modified(kind);
    }
    """
    int NEXT "PYGEN_NEXT"
    void answer_by_exception "treadle_answer_by_exception" (object answer) noexcept
    PyObject *given "Py_NewRef" (object o) noexcept  # a new reference, which the caller gives away
    # kind is a class of ours and lives for ever; next and send are an iternextfunc and a sendfunc
    void set_steps "treadle_set_steps" (PyTypeObject *kind, void *next, void *send) noexcept
