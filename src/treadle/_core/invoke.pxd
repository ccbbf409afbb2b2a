cimport cython

from treadle._core.quick cimport Quick

cpdef object current_context()
cpdef object invoke_method(object context, object owner, object name)
cpdef object invoke_method1(object context, object owner, object name, object argument)
cpdef object invoke_method2(object context, object owner, object name, object first, object second)
cpdef object make_future(dict keywords)
cpdef settle(object future, object value)
cpdef bint is_settled(object future) except -1
cpdef mark_awaited(object future)
cpdef object make_task(object coro, dict keywords)
cpdef object stepped_task(object callback)
cpdef result_of(object future)
cpdef exception_of(object future)
cpdef hear_of_end(object future, object listener)
cpdef shed_dict(object owner)
cpdef unregister(object task)
cpdef bint task_is_cancelled(object task) except -1
cpdef bint task_is_done(object task) except -1
cpdef quicken_method(object method, Quick quick)
