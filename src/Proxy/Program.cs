using Proxy.Config;
Environment.SetEnvironmentVariable("DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS", "1");
var result = ConfigFile.Load(args.Length > 1 ? args[2] : null, new ConfigSources());
if (result.Config is null) { foreach (var p in result.Problems) Console.Error.WriteLine(p); return 3; }
return (int)await Proxy.Composition.ProxyHost.RunAsync(new LoadedConfig(args[2], result.Config), default);
