from treadle._core.wheel cimport Wheel


cdef class LoopCore(Wheel):
    # Every field is declared: a loop whose __dict__ was never made lets the interpreter call its
    # methods without looking into it first.
    cdef readonly object _exception_handler
    cdef readonly object _asyncgens
    cdef public bint _asyncgens_shutdown
    cdef object _old_asyncgen_hooks
    cdef object _old_origin_depth
    cdef readonly object _executors
    cdef readonly object _signals
    cdef readonly object _watches
    cdef object __weakref__
