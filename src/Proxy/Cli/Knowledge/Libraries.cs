using System.CommandLine;

namespace Proxy.Cli.Knowledge;

/// <summary>Finds the library for a command: of the proxy at <c>--url</c>, else of the running proxy, else of this user's own store.</summary>
internal static class Libraries
{
    public static Option<string?> Url() => new("--url")
    {
        Description = "A proxy on another machine, or one whose admin socket you may not use; the key is taken from $PROXY_KEY.", HelpName = "URL",
    };

    /// <param name="around">The environment.</param>
    /// <param name="url">The address of a proxy; null: the one of this machine.</param>
    /// <param name="config">The configuration file, for a store without a running proxy.</param>
    /// <param name="works">Whether the command waits for files to be read.</param>
    /// <param name="cancellation">Ends it.</param>
    public static async Task<Library> OpenAsync(Surroundings around, string? url, string? config, bool works, CancellationToken cancellation)
    {
        if (url is not null) return new PublicLibrary(url, around.Environment("PROXY_KEY") is { Length: > 0 } key ? key.Trim() : null);
        if (await SocketLine.OpenAsync(around, cancellation).ConfigureAwait(false) is { } line) return new OperatorLibrary(line);
        return new OperatorLibrary(OwnLine.Open(around, config, works));
    }

    /// <summary>Runs a command with its library and tells the user of a failure.</summary>
    public static async Task<ExitCode> UseAsync(
        Surroundings around, string? url, string? config, bool works, Func<Library, Task<ExitCode>> use, CancellationToken cancellation)
    {
        try
        {
            var library = await OpenAsync(around, url, config, works, cancellation).ConfigureAwait(false);
            await using var closed = library.ConfigureAwait(false);
            return await use(library).ConfigureAwait(false);
        }
        catch (LibraryException e)
        {
            await around.Error.WriteLineAsync(e.Message).ConfigureAwait(false);
            return e.Code;
        }
    }
}
