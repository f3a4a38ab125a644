/* A stand-in for NVIDIA's driver, libcuda.so.1 and libnvidia-ml.so.1 in one: a card, without CUDA's own libraries.

   FAKE_INIT and FAKE_CTX are the codes that cuInit and the opening of the card answer, FAKE_VER is the driver's version. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int told(const char *name, int otherwise) {
    const char *value = getenv(name);
    return value ? atoi(value) : otherwise;
}

int cuInit(unsigned flags) { return told("FAKE_INIT", 0); }
int cuDriverGetVersion(int *version) { *version = told("FAKE_VER", 12090); return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }
int cuDeviceGetName(char *name, int size, int device) { snprintf(name, size, "Stand-in"); return 0; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = 8ull << 30; return 0; }
int cuDeviceGetPCIBusId(char *id, int size, int device) { snprintf(id, size, "0000:01:00.0"); return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    *value = attribute == 75 ? 9 : 1; /* compute capability 9.1 */
    return 0;
}
int cuDevicePrimaryCtxRetain(void **context, int device) { *context = &told; return told("FAKE_CTX", 0); }
int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) { *flags = 0; *active = 1; return 0; }
int cuCtxGetCurrent(void **context) { *context = 0; return 0; }
int cuCtxSetCurrent(void *context) { return 0; }
int cuCtxGetDevice(int *device) { *device = 0; return 0; }
int cuMemGetInfo_v2(size_t *available, size_t *total) { *available = 7ull << 30; *total = 8ull << 30; return 0; }
int cuGetErrorName(int code, const char **name) { *name = "CUDA_ERROR_UNKNOWN"; return 0; }
int cuGetErrorString(int code, const char **text) { *text = "as it was told"; return 0; }
int nvmlInit_v2(void) { return 0; }
