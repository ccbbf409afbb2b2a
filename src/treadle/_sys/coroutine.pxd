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

    /* The same for the interpreter, which takes the value out at once and drops the exception. It is
       a StopIteration with a deallocator of its own, which keeps one for the next time. */
    static PyTypeObject treadle_Stop = {
        PyVarObject_HEAD_INIT(NULL, 0)
        .tp_name = "treadle.StopIteration",
        .tp_flags = Py_TPFLAGS_DEFAULT,
    };
    static PyObject *treadle_spare_stop = NULL;  /* its count of references is 0 */

    static void treadle_stop_dealloc(PyObject *self) {
        PyStopIterationObject *stop = (PyStopIterationObject *)self;
        if (treadle_spare_stop != NULL || stop->dict != NULL || stop->traceback != NULL
                || stop->context != NULL || stop->cause != NULL || stop->notes != NULL) {
            ((PyTypeObject *)PyExc_StopIteration)->tp_dealloc(self);
            return;
        }
        PyObject_GC_UnTrack(self);
        treadle_spare_stop = self;
        Py_CLEAR(stop->value);
    }
    static void treadle_stop_at_once(PyObject *value) {  /* takes the reference */
        PyObject *stop = treadle_spare_stop;
        if (stop != NULL) {
            treadle_spare_stop = NULL;
            PyObject_Init(stop, &treadle_Stop);
        } else {
            PyObject *nothing = PyTuple_New(0);
            if (nothing != NULL) {
                stop = treadle_Stop.tp_new(&treadle_Stop, nothing, NULL);
                Py_DECREF(nothing);
            }
            if (stop == NULL) {
                Py_DECREF(value);
                return;
            }
            PyObject_GC_UnTrack(stop);  /* it lives no longer than this resumption */
        }
        Py_XSETREF(((PyStopIterationObject *)stop)->value, value);
    #if PY_VERSION_HEX >= 0x030C0000
        PyErr_SetRaisedException(stop);
    #else
        PyErr_Restore(Py_NewRef((PyObject *)&treadle_Stop), stop, NULL);
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
        if (found == Py_None) {
            Py_DECREF(found);  /* for None no exception is needed */
        } else {
            treadle_stop_at_once(found);
        }
        return NULL;
    }
    static PySendResult treadle_am_send(PyObject *self, PyObject *value, PyObject **result) {
        int outcome;
        (void)value;  /* `await` sends None; a future's wake-up carries nothing */
        *result = NULL;
        outcome = treadle_advance_by(self, result);
        return outcome < 0 ? PYGEN_ERROR : outcome > 0 ? PYGEN_NEXT : PYGEN_RETURN;
    }
    /* Objects of one type, kept for the next time: untracked, empty, without references. */
    typedef int (*treadle_recycler)(PyObject *);
    enum { TREADLE_SPARES = 64 };
    static PyObject *treadle_spares[TREADLE_SPARES];
    static int treadle_spare_count = 0;
    static treadle_recycler treadle_recycle_by = NULL;
    static destructor treadle_dealloc_by = NULL;

    static PyObject *treadle_take_spare(void) {
        PyObject *self;
        if (treadle_spare_count == 0) {
            return NULL;
        }
        self = treadle_spares[--treadle_spare_count];
        PyObject_Init(self, Py_TYPE(self));
        PyObject_GC_Track(self);
        return self;
    }
    static void treadle_dealloc(PyObject *self) {
        if (treadle_spare_count < TREADLE_SPARES) {
            int emptied;
            PyObject_GC_UnTrack(self);
            Py_SET_REFCNT(self, 1);  /* while destructors run */
            emptied = treadle_recycle_by(self);
            Py_SET_REFCNT(self, 0);
            if (emptied && treadle_spare_count < TREADLE_SPARES) {
                treadle_spares[treadle_spare_count++] = self;
                return;
            }
        }
        PyObject_GC_UnTrack(self);
        Py_TRASHCAN_BEGIN(self, treadle_dealloc)  /* it may hold another one, and that the next */
        treadle_dealloc_by(self);
        Py_TRASHCAN_END
    }
    static int treadle_resume_by(
            PyTypeObject *kind, treadle_advancer advance, treadle_recycler recycle) {
        treadle_Stop.tp_base = (PyTypeObject *)PyExc_StopIteration;
        treadle_Stop.tp_dealloc = treadle_stop_dealloc;
        if (PyType_Ready(&treadle_Stop) < 0) {
            return -1;
        }
        treadle_advance_by = advance;
        treadle_recycle_by = recycle;
        treadle_dealloc_by = kind->tp_dealloc;
        kind->tp_dealloc = treadle_dealloc;
        kind->tp_iternext = treadle_iternext;
        kind->tp_as_async->am_send = treadle_am_send;
        return 0;
    }

    static PyObject *treadle_method_of(PyObject *kind, PyObject *method) {
        return PyDescr_NewMethod((PyTypeObject *)kind, ((PyMethodDescrObject *)method)->d_method);
    }
    """
    object method_of "treadle_method_of" (object kind, object method)  # `kind` derives from its own
    ctypedef int (*advancer "treadle_advancer")(PyObject *, PyObject **) except -1
    void stop_with "treadle_stop_with" (object value) except *  # raises StopIteration
    ctypedef int (*recycler "treadle_recycler")(PyObject *) noexcept  # only drops references
    int resume_by "treadle_resume_by" (
        PyTypeObject *kind, advancer advance, recycler recycle) except -1
    PyObject *take_spare "treadle_take_spare" () noexcept  # a new reference, or NULL
