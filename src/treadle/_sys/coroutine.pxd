"""What `treadle.aio.operation` changes in its type: the slots by which a coroutine is resumed."""

from cpython.object cimport PyObject, PyTypeObject


cdef extern from *:
    """
    typedef int (*treadle_advancer)(PyObject *, PyObject **);
    static treadle_advancer treadle_advance_by = NULL;  /* set once, by the only includer */

    /* Ends an iteration with a value, which may be a tuple or an exception itself. */
    static void treadle_stop_with(PyObject *value) {
        PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, value);
        if (stop == NULL) {
            return;
        }
    #if PY_VERSION_HEX >= 0x030C0000
        PyErr_SetRaisedException(stop);
    #else
        PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(stop)), stop, NULL);
    #endif
    }
    static PyObject *treadle_iternext(PyObject *self) {
        PyObject *found = NULL;
        int outcome = treadle_advance_by(self, &found);
        if (outcome < 0) {
            return NULL;
        }
        if (outcome > 0) {
            return found;
        }
        if (found != Py_None) {  /* for None no exception is needed */
            treadle_stop_with(found);
        }
        Py_DECREF(found);
        return NULL;
    }
    static PySendResult treadle_am_send(PyObject *self, PyObject *value, PyObject **result) {
        int outcome;
        (void)value;  /* `await` sends None; a future's wake-up carries nothing */
        *result = NULL;
        outcome = treadle_advance_by(self, result);
        return outcome < 0 ? PYGEN_ERROR : outcome > 0 ? PYGEN_NEXT : PYGEN_RETURN;
    }
    static void treadle_resume_by(PyTypeObject *kind, treadle_advancer advance) {
        treadle_advance_by = advance;
        kind->tp_iternext = treadle_iternext;
        kind->tp_as_async->am_send = treadle_am_send;
    }
    """
    ctypedef int (*advancer "treadle_advancer")(PyObject *, PyObject **) except -1
    void stop_with "treadle_stop_with" (object value) except *  # raises StopIteration
    # for `kind` and the types that derive from it later
    void resume_by "treadle_resume_by" (PyTypeObject *kind, advancer advance) noexcept
