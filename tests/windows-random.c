/* A stand-in for bcryptprimitives.dll, which Wine 8 lacks: the one function that Rust's standard
   library takes from it, over one that Wine has. */
int __stdcall SystemFunction036(void *buffer, unsigned long length);

__declspec(dllexport) int __stdcall ProcessPrng(void *buffer, unsigned long long length) {
  return SystemFunction036(buffer, (unsigned long)length);
}
