// Pre-trains models of any shape from texts: masked LM, span corruption, prefix LM, BART's denoising, causal LM.
#include "experiments/lib/pretrain/pretrain.h"

int main(int argc, char** argv) { return cambium::pretrain_command_line(argc, argv); }
