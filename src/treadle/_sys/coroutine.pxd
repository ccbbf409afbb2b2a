"""What `treadle.aio.operation` changes in its type: the slots by which a coroutine is resumed."""

from cpython.object cimport PyObject, PyTypeObject


cdef extern from *:
    """
    typedef int (*treadle_advancer)(PyObject *, PyObject **);
    static treadle_advancer treadle_advance_by = NULL;  /* set once, by the only includer */

    /* The interpreter takes an answer out of a StopIteration and drops that. So one is used again
       and again. It is an ordinary one, known to the cycle collector. It holds an answer only until
       the operation that gave it ends, mostly right after. Others may have seen it (a trace function,
       who calls `next`): if somebody still refers to it then, or has put something into it, it is
       left to them. */
    static PyStopIterationObject *treadle_spare_stop = NULL;  /* a reference of ours */

    static int treadle_is_blank(PyStopIterationObject *stop) {  /* all but the value */
        return Py_REFCNT(stop) == 1 && stop->dict == NULL && stop->traceback == NULL
            && stop->context == NULL && stop->cause == NULL && stop->notes == NULL
            && stop->args != NULL && PyTuple_GET_SIZE(stop->args) == 0 && !stop->suppress_context;
    }
    static PyStopIterationObject *treadle_new_stop(void) {
        PyTypeObject *kind = (PyTypeObject *)PyExc_StopIteration;
        PyObject *nothing = PyTuple_New(0);
        PyObject *stop = nothing == NULL ? NULL : kind->tp_new(kind, nothing, NULL);
        Py_XDECREF(nothing);
        return (PyStopIterationObject *)stop;
    }
    static void treadle_stop_with(PyObject *value) {  /* takes the reference */
        PyStopIterationObject *stop = treadle_spare_stop, *last = NULL;
        if (stop == NULL || stop->value != NULL || Py_REFCNT(stop) != 1) {
            stop = treadle_new_stop();
            if (stop == NULL) {
                Py_DECREF(value);
                return;
            }
            last = treadle_spare_stop;
            treadle_spare_stop = stop;
        }
        stop->value = value;
        Py_INCREF(stop);
        Py_XDECREF(last);  /* a destructor that gives answers finds ours in use */
    #if PY_VERSION_HEX >= 0x030C0000
        PyErr_SetRaisedException((PyObject *)stop);
    #else
        PyErr_Restore(Py_NewRef(PyExc_StopIteration), (PyObject *)stop, NULL);
    #endif
    }
    static inline void treadle_forget_answer(void) {
        PyStopIterationObject *stop = treadle_spare_stop;
        if (stop == NULL || stop->value == NULL) {
            return;
        }
        if (treadle_is_blank(stop)) {
            Py_CLEAR(stop->value);
        } else {
            treadle_spare_stop = NULL;
            Py_DECREF(stop);
        }
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
            treadle_stop_with(found);
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
                treadle_forget_answer();
                return;
            }
        }
        PyObject_GC_UnTrack(self);
        Py_TRASHCAN_BEGIN(self, treadle_dealloc)  /* it may hold another one, and that the next */
        treadle_dealloc_by(self);
        treadle_forget_answer();
        Py_TRASHCAN_END
    }
    static int treadle_resume_by(
            PyTypeObject *kind, treadle_advancer advance, treadle_recycler recycle) {
        treadle_advance_by = advance;
        treadle_recycle_by = recycle;
        treadle_dealloc_by = kind->tp_dealloc;
        kind->tp_dealloc = treadle_dealloc;
        kind->tp_iternext = treadle_iternext;
        kind->tp_as_async->am_send = treadle_am_send;
        return 0;
    }
    """
    ctypedef int (*advancer "treadle_advancer")(PyObject *, PyObject **) except -1
    ctypedef int (*recycler "treadle_recycler")(PyObject *) noexcept  # only drops references
    int resume_by "treadle_resume_by" (
        PyTypeObject *kind, advancer advance, recycler recycle) except -1
    PyObject *take_spare "treadle_take_spare" () noexcept  # a new reference, or NULL
