from treadle._core.watch cimport Watches
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
    cdef public object _children
    cdef readonly bint _inherited
    cdef object _never_run
    cdef readonly Watches _watches
    cdef public object _scratch
    cdef object __weakref__
