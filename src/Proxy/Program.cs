using Proxy.Cli;

TlsRoots.Probe();
return await ProxyCommand.RunAsync(args);
