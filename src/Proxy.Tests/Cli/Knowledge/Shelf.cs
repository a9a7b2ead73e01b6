using Proxy.Cli;
using Proxy.Knowledge.Ingest;

namespace Proxy.Tests.Cli.Knowledge;

/// <summary>A folder of documents, and the command line with a state folder of its own, in which no proxy runs.</summary>
internal sealed class Shelf : IDisposable
{
    public Shelf()
    {
        Line.Environment["STATE_DIRECTORY"] = State;
        Line.Config = "";
    }

    public CommandLine Line { get; } = new();

    public string Folder => Line.InFolder("documents");

    public string State => Line.InFolder("state");

    public void Write(string path, string text)
    {
        var whole = Path.Combine(Folder, path);
        Directory.CreateDirectory(Path.GetDirectoryName(whole)!);
        File.WriteAllText(whole, text);
    }

    public Task<(ExitCode Code, string Output, string Error)> RunAsync(string line, Func<Surroundings, Surroundings>? change = null) =>
        Line.RunAsync(line.Replace("FOLDER", Folder, StringComparison.Ordinal), change);

    /// <summary>Takes the store's lock, as another command does.</summary>
    public IDisposable Lock() => IngestLock.TryTake(Path.Combine(State, "knowledge"))!;

    public void Dispose() => Line.Dispose();
}
