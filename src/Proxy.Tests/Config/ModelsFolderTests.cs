using Proxy.Config;

namespace Proxy.Tests.Config;

public sealed class ModelsFolderTests
{
    [Theory]
    [InlineData("STATE_DIRECTORY=/var/lib/proxy:/var/lib/other XDG_DATA_HOME=/data", "/var/lib/proxy/models")]
    [InlineData("XDG_DATA_HOME=/data HOME=/root", "/data/proxy/models")]
    [InlineData("STATE_DIRECTORY= HOME=/root", "/root/.local/share/proxy/models")]
    [InlineData("HOME=relative", null)]
    [InlineData("A=b", null)]
    public void Folder_Is_the_service_s_or_the_user_s(string environment, string? expected)
    {
        var set = environment.Split(' ').Select(pair => pair.Split('=')).ToDictionary(pair => pair[0], pair => pair[1]);

        Assert.Equal(expected, ModelsFolder.Find(set.GetValueOrDefault));
    }

    [Theory]
    [InlineData("BAAI/bge", "/etc/proxy/BAAI/bge /s/models/BAAI/bge", "/etc/proxy/BAAI/bge")]
    [InlineData("BAAI/bge", "/s/models/BAAI/bge /var/lib/proxy/models/BAAI/bge", "/s/models/BAAI/bge")]
    [InlineData("BAAI/bge", "/var/lib/proxy/models/BAAI/bge", "/var/lib/proxy/models/BAAI/bge")]
    [InlineData("BAAI/bge", "/s/models", "/etc/proxy/BAAI/bge")]
    [InlineData("/m/bge", "/s/models/m/bge", "/m/bge")]
    public void Path_of_a_model_Is_beside_the_file_or_among_the_fetched(string path, string there, string expected)
    {
        var machine = Toml.Machine(new() { ["STATE_DIRECTORY"] = "/s" }) with { HasFolder = there.Split(' ').Contains };

        var config = Toml.Good($"[[inference.models]]\nname = \"m\"\npath = \"{path}\"\n", machine);

        Assert.Equal(expected, Assert.Single(config.Inference.Models).Path);
    }
}
