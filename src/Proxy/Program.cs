using Proxy.Cli;
using Proxy.Inference;

NativeRuntime.ShareHeap();
TlsRoots.Probe();
return await ProxyCommand.RunAsync(args);
