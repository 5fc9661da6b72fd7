// The program `cambium`.
#include "experiments/lib/commands/commands.h"

int main(int argc, char** argv) { return cambium::command_line(argc, argv); }
