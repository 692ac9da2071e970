// A stand-in for libcuda: two GPUs, or with -DNO_DEVICE a driver that shows none.
#include <cstddef>
#include <cstring>

extern "C" {

int cuDriverGetVersion(int* version) { *version = 13000; return 0; }

#ifdef NO_DEVICE
int cuInit(unsigned) { return 100; }
#else
int cuInit(unsigned flags) { return flags ? 1 : 0; }
#endif

int cuDeviceGetCount(int* count) { *count = 2; return 0; }
int cuDeviceGet(int* device, int ordinal) { *device = 10 + ordinal; return ordinal < 2 ? 0 : 101; }
int cuDeviceTotalMem_v2(size_t* bytes, int device) { *bytes = size_t(device - 9) << 36; return 0; }

int cuDeviceGetName(char* name, int length, int device) {
    strncpy(name, device == 10 ? "GPU zero" : "GPU one", length);
    return 0;
}

int cuDeviceGetAttribute(int* value, int attribute, int device) {
    *value = attribute == 75 ? 9 : attribute == 76 ? device - 10 : -1;
    return 0;
}

int cuGetErrorName(int error, const char** name) {
    *name = error == 100 ? "CUDA_ERROR_NO_DEVICE" : "CUDA_ERROR_UNKNOWN";
    return 0;
}

}
