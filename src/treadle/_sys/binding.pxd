"""Special methods whose bound callables are used again.

``async with`` looks up `__aenter__` and `__aexit__` and calls each of the bound methods once. Making
and freeing two of CPython's costs a third of entering and leaving a free lock. So these methods stand
in their class inside of a descriptor, which binds them to an object of ours. It calls the same
function and is kept, when nobody refers to it any more, for the next binding.

What else one does with a method, or on the class, is left to the method inside: its name, its
documentation, its class, what it equals and how it is pickled are a bound method's.

Spares stay known to the cycle collector and are referred to once, from the array: so to take one is
neither to register it nor to allocate. One that somebody found, through ``gc.get_objects``, is left
to them. The collector cannot empty a bound one, as it cannot a method of CPython's: what it is bound
to can be.
"""

cdef extern from *:
    """
    typedef struct {  /* in the class */
        PyObject_HEAD
        PyObject *method;  /* CPython's descriptor, which has the definition and the class */
        vectorcallfunc call;
    } treadle_Binding;

    typedef struct {
        PyObject_HEAD
        PyObject *owner;  /* NULL in a spare */
        treadle_Binding *binding;  /* borrowed: bindings are never freed */
        vectorcallfunc call;
    } treadle_Bound;

    enum { TREADLE_BOUND_SPARES = 64 };
    static PyObject *treadle_bound_spares[TREADLE_BOUND_SPARES];
    static int treadle_bound_count = 0;

    static PyTypeObject treadle_Binding_Type;
    static PyTypeObject treadle_Bound_Type;

    static PyObject *treadle_bind_really(PyObject *method, PyObject *owner) {
        return Py_TYPE(method)->tp_descr_get(method, owner, (PyObject *)Py_TYPE(owner));
    }

    /* Bound: what `async with` calls ------------------------------------------------------- */

    static PyObject *treadle_ordinary(PyObject *self) {  /* a new reference */
        treadle_Bound *bound = (treadle_Bound *)self;
        return treadle_bind_really(bound->binding->method, bound->owner);
    }
    static PyObject *treadle_call_ordinary(
            PyObject *self, PyObject *const *args, size_t count, PyObject *words) {
        PyObject *method = treadle_ordinary(self), *result;
        if (method == NULL) {
            return NULL;
        }
        result = PyObject_Vectorcall(method, args, count & ~PY_VECTORCALL_ARGUMENTS_OFFSET, words);
        Py_DECREF(method);
        return result;
    }
    static PyMethodDef *treadle_bound_definition(PyObject *self) {
        return ((PyMethodDescrObject *)((treadle_Bound *)self)->binding->method)->d_method;
    }
    static PyObject *treadle_call_bare(
            PyObject *self, PyObject *const *args, size_t count, PyObject *words) {
        if (PyVectorcall_NARGS(count) != 0 || words != NULL) {
            return treadle_call_ordinary(self, args, count, words);
        }
        return treadle_bound_definition(self)->ml_meth(((treadle_Bound *)self)->owner, NULL);
    }
    static PyObject *treadle_call_general(
            PyObject *self, PyObject *const *args, size_t count, PyObject *words) {
        PyCFunction function = treadle_bound_definition(self)->ml_meth;
        return ((PyObject *(*)(PyObject *, PyObject *const *, Py_ssize_t, PyObject *))(void (*)(void))
            function)(((treadle_Bound *)self)->owner, args, PyVectorcall_NARGS(count), words);
    }
    static PyObject *treadle_bound_getattro(PyObject *self, PyObject *name) {
        PyObject *method, *value;
        if (((treadle_Bound *)self)->owner == NULL) {
            return PyObject_GenericGetAttr(self, name);
        }
        method = treadle_ordinary(self);
        value = method == NULL ? NULL : PyObject_GetAttr(method, name);
        Py_XDECREF(method);
        return value;
    }
    static PyObject *treadle_bound_repr(PyObject *self) {
        PyObject *method, *text;
        if (((treadle_Bound *)self)->owner == NULL) {
            return PyUnicode_FromString("<bound method, not in use>");
        }
        method = treadle_ordinary(self);
        text = method == NULL ? NULL : PyObject_Repr(method);
        Py_XDECREF(method);
        return text;
    }
    static Py_hash_t treadle_bound_hash(PyObject *self) {
        PyObject *method;
        Py_hash_t hash;
        if (((treadle_Bound *)self)->owner == NULL) {
            return 0;
        }
        method = treadle_ordinary(self);
        hash = method == NULL ? -1 : PyObject_Hash(method);
        Py_XDECREF(method);
        return hash;
    }
    static PyObject *treadle_bound_compare(PyObject *self, PyObject *other, int how) {
        PyObject *method, *theirs, *answer = NULL;
        if (!Py_IS_TYPE(self, &treadle_Bound_Type) || ((treadle_Bound *)self)->owner == NULL) {
            Py_RETURN_NOTIMPLEMENTED;
        }
        if (Py_IS_TYPE(other, &treadle_Bound_Type)) {
            if (((treadle_Bound *)other)->owner == NULL) {
                Py_RETURN_NOTIMPLEMENTED;
            }
            theirs = treadle_ordinary(other);
        } else {
            theirs = Py_NewRef(other);
        }
        method = treadle_ordinary(self);
        if (method != NULL && theirs != NULL) {
            answer = PyObject_RichCompare(method, theirs, how);
        }
        Py_XDECREF(method);
        Py_XDECREF(theirs);
        return answer;
    }
    static int treadle_bound_traverse(PyObject *self, visitproc visit, void *arg) {
        Py_VISIT(((treadle_Bound *)self)->owner);
        return 0;
    }
    static void treadle_bound_dealloc(PyObject *self) {
        PyObject *owner = ((treadle_Bound *)self)->owner;
        if (treadle_bound_count < TREADLE_BOUND_SPARES) {
            ((treadle_Bound *)self)->owner = NULL;
            Py_SET_REFCNT(self, 1);  /* the array's */
            treadle_bound_spares[treadle_bound_count++] = self;
        } else {
            PyObject_GC_UnTrack(self);
            PyObject_GC_Del(self);
        }
        Py_XDECREF(owner);  /* its destructor may bind: all is in order by now */
    }
    static PyTypeObject treadle_Bound_Type = {
        PyVarObject_HEAD_INIT(NULL, 0)
        .tp_name = "treadle.bound_method",
        .tp_basicsize = sizeof(treadle_Bound),
        .tp_dealloc = treadle_bound_dealloc,
        .tp_vectorcall_offset = offsetof(treadle_Bound, call),
        .tp_call = PyVectorcall_Call,
        .tp_repr = treadle_bound_repr,
        .tp_hash = treadle_bound_hash,
        .tp_richcompare = treadle_bound_compare,
        .tp_getattro = treadle_bound_getattro,
        .tp_traverse = treadle_bound_traverse,
        .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL
            | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    };

    /* Binding: what is in the class -------------------------------------------------------- */

    static PyObject *treadle_binding_get(PyObject *self, PyObject *owner, PyObject *kind) {
        treadle_Binding *binding = (treadle_Binding *)self;
        PyTypeObject *of = PyDescr_TYPE(binding->method);
        PyObject *found;
        if (owner == NULL) {
            return Py_NewRef(binding->method);
        }
        if (!Py_IS_TYPE(owner, of) && !PyType_IsSubtype(Py_TYPE(owner), of)) {
            return treadle_bind_really(binding->method, owner);  /* which raises */
        }
        found = NULL;
        if (treadle_bound_count != 0) {
            found = treadle_bound_spares[--treadle_bound_count];
            if (Py_REFCNT(found) != 1) {
                Py_CLEAR(found);
            }
        }
        if (found == NULL) {
            found = (PyObject *)PyObject_GC_New(treadle_Bound, &treadle_Bound_Type);
            if (found == NULL) {
                return NULL;
            }
            ((treadle_Bound *)found)->owner = NULL;
            PyObject_GC_Track(found);
        }
        ((treadle_Bound *)found)->binding = binding;
        ((treadle_Bound *)found)->call = binding->call;
        ((treadle_Bound *)found)->owner = Py_NewRef(owner);
        return found;
    }
    static PyObject *treadle_binding_getattro(PyObject *self, PyObject *name) {
        return PyObject_GetAttr(((treadle_Binding *)self)->method, name);
    }
    static PyObject *treadle_binding_repr(PyObject *self) {
        return PyObject_Repr(((treadle_Binding *)self)->method);
    }
    static PyObject *treadle_binding_call(PyObject *self, PyObject *args, PyObject *words) {
        return PyObject_Call(((treadle_Binding *)self)->method, args, words);
    }
    static PyTypeObject treadle_Binding_Type = {
        PyVarObject_HEAD_INIT(NULL, 0)
        .tp_name = "treadle.method_binding",
        .tp_basicsize = sizeof(treadle_Binding),
        .tp_call = treadle_binding_call,
        .tp_repr = treadle_binding_repr,
        .tp_getattro = treadle_binding_getattro,
        .tp_descr_get = treadle_binding_get,
        .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    };

    static PyObject *treadle_binding_of(PyObject *method) {
        treadle_Binding *made;
        vectorcallfunc call;
        if (PyType_Ready(&treadle_Bound_Type) < 0 || PyType_Ready(&treadle_Binding_Type) < 0) {
            return NULL;
        }
        switch (((PyMethodDescrObject *)method)->d_method->ml_flags) {
            case METH_NOARGS: call = treadle_call_bare; break;
            case METH_FASTCALL | METH_KEYWORDS: call = treadle_call_general; break;
            default: return Py_NewRef(method);  /* compiled in some other way: it stays as it is */
        }
        made = PyObject_New(treadle_Binding, &treadle_Binding_Type);
        if (made == NULL) {
            return NULL;
        }
        made->method = Py_NewRef(method);
        made->call = call;
        return Py_NewRef((PyObject *)made);  /* one more, which keeps it for ever */
    }
    """
    object binding_of "treadle_binding_of" (object method)  # a descriptor in place of this one
