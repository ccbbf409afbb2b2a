cdef class Upper:
    cdef lower_made(self)
    cdef lower_buffer(self)
    cdef lower_filled(self, Py_ssize_t count)
    cdef lower_eof(self)
    cdef lower_lost(self, exc)
    cdef lower_paused(self)
    cdef lower_resumed(self)
    cdef face(self)
