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
    #if PY_VERSION_HEX >= 0x030C0000
        /* What PyErr_SetObject does, without calling the type and looking at contexts. */
        PyTypeObject *kind = (PyTypeObject *)PyExc_StopIteration;
        PyObject *none = PyTuple_New(0);
        PyObject *exc = none == NULL ? NULL : kind->tp_new(kind, none, NULL);
        Py_XDECREF(none);
        if (exc != NULL) {
            Py_XSETREF(((PyStopIterationObject *)exc)->value, Py_NewRef(answer));
            PyErr_SetRaisedException(exc);
        }
    #else
        PyErr_SetObject(PyExc_StopIteration, answer);
    #endif
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
