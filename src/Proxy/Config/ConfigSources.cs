namespace Proxy.Config;

/// <summary>Everything outside the file that the configuration depends on, so that tests can replace it.</summary>
internal sealed record ConfigSources
{
    /// <summary>Value of an environment variable; null if it is not set.</summary>
    public Func<string, string?> Environment { get; init; } = System.Environment.GetEnvironmentVariable;

    /// <summary>Content of a file, by absolute path. Throws <see cref="IOException"/> or <see cref="UnauthorizedAccessException"/>.</summary>
    public Func<string, string> ReadText { get; init; } = TextFile.Read;

    /// <summary>Whether a folder exists at an absolute path.</summary>
    public Func<string, bool> HasFolder { get; init; } = Directory.Exists;

    /// <summary>Says why a model cannot be run in this process; null if it can.</summary>
    public Func<InferenceModelConfig, string?> ModelProblem { get; init; } = static _ => "this build of proxy runs no models in its own process";

    /// <summary>Whether an address belongs to this machine.</summary>
    public Func<System.Net.IPAddress, bool> IsOwnAddress { get; init; } = OwnListener.IsOfThisMachine;

    /// <summary>This machine's name.</summary>
    public string HostName { get; init; } = System.Net.Dns.GetHostName();

    /// <summary>Folder that relative paths start from: the configuration file's.</summary>
    public string Folder { get; init; } = CurrentFolder();

    /// <summary>Listen addresses from the command line. They replace the file's, and the same rules apply to them.</summary>
    public IReadOnlyList<string>? Listen { get; init; }

    /// <summary>The folder that the program was started in; the root if somebody has deleted it.</summary>
    private static string CurrentFolder()
    {
        try
        {
            return Directory.GetCurrentDirectory();
        }
        catch (IOException)
        {
            return "/";
        }
    }
}
