"""What we use of CPython's C API, with the failure of each call declared."""

from cpython.object cimport PyObject, PyTypeObject


cdef extern from "Python.h":
    # contexts: -1 and an exception when the context is already entered, or not the current one
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1
    object copy_context "PyContext_CopyCurrent" ()

    # calls: a new reference, or NULL and an exception
    object PyObject_Call(object callable, object args, object keywords)
    object PyObject_Vectorcall(object callable, PyObject **args, size_t nargsf, PyObject *names)
    object PyObject_VectorcallMethod(object name, PyObject **args, size_t nargsf, PyObject *names)

    Py_ssize_t Py_REFCNT (PyObject *o) noexcept
    PyTypeObject PyFunction_Type
    PyTypeObject PyMethod_Type
    PyTypeObject *Py_TYPE "Py_TYPE" (PyObject *o) noexcept
    bint PyObject_TypeCheck(PyObject *o, PyTypeObject *kind) noexcept
    bint PyCFunction_CheckExact(PyObject *o) noexcept
    PyObject *PyCFunction_GET_SELF(PyObject *o) noexcept  # borrowed; NULL for a static function
    bint PyCallable_Check(object o) noexcept

    Py_ssize_t PyTuple_GET_SIZE(object items) noexcept

    int PySet_Discard(object items, object item) except -1
    # with NULL for `overflow`: cut to what a Py_ssize_t holds
    Py_ssize_t PyNumber_AsSsize_t(object number, PyObject *overflow) except? -1

    int PyErr_CheckSignals() except -1
    object PyErr_SetFromErrno(object kind)  # always raises

    object PyBytes_FromStringAndSize(const char *data, Py_ssize_t size)
    char *PyBytes_AS_STRING(object data) noexcept
    Py_ssize_t PyBytes_GET_SIZE(object data) noexcept
    void Py_CLEAR(PyObject *slot) noexcept  # a macro: the place itself

    bint PyUnicode_IS_ASCII(object text) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept
    const char *PyUnicode_AsUTF8(object text) except NULL  # borrowed from `text`


cdef extern from *:
    """
    /* for `bytes_cut`, and unknown to everybody else until then */
    static inline PyObject *treadle_bytes_unfinished(Py_ssize_t size) {
        return PyBytes_FromStringAndSize(NULL, size);
    }
    /* takes the reference; cuts in place what has no other one, else copies. A little that is too
       much stays in the block: giving it back would leave a hole that is just too small for the
       next one of this size. */
    static inline PyObject *treadle_bytes_cut(PyObject *data, Py_ssize_t size) {
        Py_ssize_t before = PyBytes_GET_SIZE(data);
        if (Py_REFCNT(data) == 1) {
            if (size > 0 && before - size <= before / 64) {
                Py_SET_SIZE(data, size);
                PyBytes_AS_STRING(data)[size] = 0;
                return data;
            }
            _PyBytes_Resize(&data, size);  /* NULL and an exception if it fails */
            return data;
        }
        PyObject *copy = PyBytes_FromStringAndSize(PyBytes_AS_STRING(data), size);
        Py_DECREF(data);
        return copy;
    }
    #define treadle_number_behind_header(sock) (*(int *)((char *)(sock) + sizeof(PyObject)))
    #define treadle_step_task(step) (((PyObject **)((char *)(step) + sizeof(PyObject)))[0])
    static inline PyObject *treadle_first_weakref(PyObject *o) {
        Py_ssize_t offset = Py_TYPE(o)->tp_weaklistoffset;  /* before the object, where negative */
        return offset != 0 ? *(PyObject **)((char *)o + offset) : NULL;
    }
    static inline int treadle_has_weakrefs(PyObject *o) {
        return treadle_first_weakref(o) != NULL;
    }
    static inline void treadle_shed_dict(PyObject *o) {
        PyObject **dict = _PyObject_GetDictPtr(o);  /* NULL where there is none, or not there */
        if (dict != NULL && *dict != NULL && PyDict_GET_SIZE(*dict) == 0) {
            Py_CLEAR(*dict);
        }
    }
    #define TREADLE_METHOD_FLAGS (METH_METHOD | METH_FASTCALL | METH_KEYWORDS)
    static inline PyObject *treadle_call_method0(PyObject *method, PyObject *self) {
        if (Py_IS_TYPE(method, &PyMethodDescr_Type)) {
            PyMethodDef *def = ((PyMethodDescrObject *)method)->d_method;
            if (def->ml_flags == METH_NOARGS) {
                return def->ml_meth(self, NULL);
            }
            if (def->ml_flags == TREADLE_METHOD_FLAGS) {
                return ((PyCMethod)(void (*)(void))def->ml_meth)(
                    self, PyDescr_TYPE(method), NULL, 0, NULL);
            }
        }
        return PyObject_CallOneArg(method, self);
    }
    static inline PyObject *treadle_call_method1(PyObject *method, PyObject *self, PyObject *arg) {
        PyObject *stack[2] = {self, arg};
        if (Py_IS_TYPE(method, &PyMethodDescr_Type)) {
            PyMethodDef *def = ((PyMethodDescrObject *)method)->d_method;
            if (def->ml_flags == TREADLE_METHOD_FLAGS) {
                return ((PyCMethod)(void (*)(void))def->ml_meth)(
                    self, PyDescr_TYPE(method), stack + 1, 1, NULL);
            }
        }
        return PyObject_Vectorcall(method, stack, 2, NULL);
    }
    /* self.flag = True, for a getset descriptor of a type whose instance `self` is known to be */
    static inline int treadle_raise_flag(PyObject *flag, PyObject *self) {
        PyGetSetDef *def = ((PyGetSetDescrObject *)flag)->d_getset;
        return def->set(self, Py_True, def->closure);
    }
    /* kind(**keywords), for a type of C */
    static inline PyObject *treadle_make_bare(
            PyTypeObject *kind, PyObject *nothing, PyObject *keywords) {
        PyObject *made = kind->tp_new(kind, nothing, keywords);
        if (made != NULL && kind->tp_init(made, nothing, keywords) < 0) {
            Py_CLEAR(made);
        }
        return made;
    }
    static inline int treadle_is_right_below(PyObject *o, PyTypeObject *kind) {
        return Py_TYPE(o)->tp_base == kind;
    }
    /* kind(argument, **keywords), for a type of C: made and initialised, as calling it does. The
       tuple of the last call is used again, when nobody has kept it. */
    static PyObject *treadle_make(PyTypeObject *kind, PyObject *argument, PyObject *keywords) {
        static PyObject *spare = NULL;  /* NULL while it is in use */
        PyObject *made, *args = spare;
        spare = NULL;
        if (args == NULL) {
            args = PyTuple_New(1);
            if (args == NULL) {
                return NULL;
            }
        }
        PyTuple_SET_ITEM(args, 0, Py_NewRef(argument));
        made = kind->tp_new(kind, args, keywords);
        if (made != NULL && kind->tp_init(made, args, keywords) < 0) {
            Py_CLEAR(made);
        }
        if (spare == NULL && Py_REFCNT(args) == 1) {
            PyTuple_SET_ITEM(args, 0, NULL);
            spare = args;
            Py_DECREF(argument);
        } else {
            Py_DECREF(args);
        }
        return made;
    }
    static inline int treadle_raise_pending(void) {
        return -1;
    }
    static inline int treadle_call_in_context(PyObject *context, PyObject *callback, PyObject *args) {
        PyObject *result;
        if (PyContext_Enter(context) < 0) {
            return -1;
        }
        result = PyObject_Vectorcall(
            callback, ((PyTupleObject *)args)->ob_item, PyTuple_GET_SIZE(args), NULL);
        if (PyContext_Exit(context) < 0) {
            Py_XDECREF(result);
            return -1;
        }
        if (result == NULL) {
            return -1;
        }
        Py_DECREF(result);
        return 0;
    }
    """
    PyObject *bytes_unfinished "treadle_bytes_unfinished" (Py_ssize_t size) except NULL  # new
    object bytes_cut "treadle_bytes_cut" (PyObject *data, Py_ssize_t size)  # takes over `data`
    bint has_weakrefs "treadle_has_weakrefs" (PyObject *o) noexcept
    # `method` as it stands in the type's dict; `self` is known to be an instance of that type
    object call_method0 "treadle_call_method0" (object method, object self)
    object call_method1 "treadle_call_method1" (object method, object self, object argument)
    bint is_right_below "treadle_is_right_below" (PyObject *o, PyTypeObject *kind) noexcept
    object make "treadle_make" (PyTypeObject *kind, object argument, object keywords)
    object make_bare "treadle_make_bare" (PyTypeObject *kind, tuple nothing, object keywords)
    int raise_flag "treadle_raise_flag" (object flag, object self) except -1
    void shed_empty_dict "treadle_shed_dict" (object o) noexcept
    PyObject *first_weakref "treadle_first_weakref" (PyObject *o) noexcept  # borrowed from `o`
    # 0, or -1 with an exception pending, which `raise_pending` takes up
    int call_in_context "treadle_call_in_context" (
        object context, object callback, object args) noexcept
    int raise_pending "treadle_raise_pending" () except -1
    PyObject *step_task "treadle_step_task" (PyObject *step) noexcept  # borrowed from the step
    int number_behind_header "treadle_number_behind_header" (PyObject *sock) noexcept  # see direct
