cpdef object decode_address(bytes raw)
cpdef object encode_address(int family, object address)


cdef class AddressBook:
    cdef dict names  # address by sockaddr

    cpdef name_of(self, bytes raw)
