// paramctl: asks a running paramd, and checks files without one.
#include "server/paramctl/paramctl.h"

int main(int argc, char** argv) { return paramd::RunParamctl(argc, argv); }
