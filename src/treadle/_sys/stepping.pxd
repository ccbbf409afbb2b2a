"""How the interpreter steps what is awaited, and how that answers."""

from cpython.object cimport PyObject, PyTypeObject


cdef extern from *:
    """
    #if PY_VERSION_HEX >= 0x030C0000
    /* The exception that the last answer came in, to be used again: the interpreter takes out the
       value and lets go of the exception at once. One that was looked at (a traceback, a context,
       another reference) is left to who looks. It keeps its value until then, so no large one. */
    static PyObject *treadle_spare_stop = NULL;
    #define TREADLE_SPARED_SIZE 16384

    static int treadle_is_untouched(PyObject *stop) {
        PyBaseExceptionObject *base = (PyBaseExceptionObject *)stop;
        return Py_REFCNT(stop) == 1 && base->traceback == NULL && base->context == NULL
            && base->cause == NULL && base->dict == NULL && base->notes == NULL;
    }
    static PyObject *treadle_new_stop(void) {
        PyTypeObject *kind = (PyTypeObject *)PyExc_StopIteration;
        PyObject *none = PyTuple_New(0);
        PyObject *stop = none == NULL ? NULL : kind->tp_new(kind, none, NULL);
        Py_XDECREF(none);
        return stop;
    }
    /* What PyErr_SetObject does, without calling the type and looking at contexts. */
    static void treadle_stop_with(PyObject *answer) {
        PyObject *stop;
        if (!PyBytes_CheckExact(answer) || PyBytes_GET_SIZE(answer) > TREADLE_SPARED_SIZE) {
            stop = treadle_new_stop();
        } else {
            if (treadle_spare_stop == NULL || !treadle_is_untouched(treadle_spare_stop)) {
                Py_XSETREF(treadle_spare_stop, treadle_new_stop());
            }
            stop = Py_XNewRef(treadle_spare_stop);
        }
        if (stop != NULL) {
            Py_XSETREF(((PyStopIterationObject *)stop)->value, Py_NewRef(answer));
            PyErr_SetRaisedException(stop);
        }
    }
    #else
    static void treadle_stop_with(PyObject *answer) {
        PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, answer);
        if (stop != NULL) {  /* an answer may be a tuple, which PyErr_SetObject would unpack */
            PyErr_SetObject(PyExc_StopIteration, stop);
            Py_DECREF(stop);
        }
    }
    #endif
    /* Raise StopIteration with an answer; no exception at all says None. */
    static inline void treadle_answer_by_exception(PyObject *answer) {
        if (answer != Py_None) {
            treadle_stop_with(answer);
        }
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
